"""What every document and record has, whatever command wrote it."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import jsonschema

from scin.report.record import FIELDS, SCHEMA

RECORD_FIELDS = set(FIELDS)


@cache
def _validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def checked(text: str) -> dict[str, Any]:
    """The document, if it is JSON and follows the shipped schema."""
    document = json.loads(text, parse_constant=_no_constant)
    _validator().validate(document)
    return document


def checked_records(text: str) -> list[dict[str, Any]]:
    return checked(text)["records"]
