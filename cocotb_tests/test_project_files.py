"""The files that say whose the project is, under which terms, and which version of it this is."""

import re
import tomllib
from importlib.metadata import version

import pytest

from models.cache import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]

TITLES = {"Apache-2.0": ("Apache License", "Version 2.0, January 2004")}
"""First lines of a licence, by its name in the list of SPDX."""


def text_of(name):
    return (REPOSITORY / name).read_text("utf-8")


def cited(field):
    """A field of CITATION.cff itself, not of a work that it refers to."""
    (value,) = re.findall(rf"(?m)^{field}: (.+)$", text_of("CITATION.cff"))
    return value.strip('"')


def test_licence():
    """The whole text of the licence that is named."""
    first = tuple(line.strip() for line in text_of("LICENSE").splitlines() if line.strip())[:2]
    assert first == TITLES[PROJECT["license"]]
    assert "END OF TERMS AND CONDITIONS" in text_of("LICENSE")
    assert PROJECT["license-files"] == ["LICENSE"]
    assert cited("license") == PROJECT["license"]


def test_version():
    """Of the package that is installed, of what is cited, and of the newest release."""
    releases = re.findall(
        r"(?m)^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", text_of("CHANGELOG.md")
    )
    assert releases[0] == PROJECT["version"] == version("scin") == cited("version")
    assert releases == sorted(releases, key=numbers, reverse=True)
    assert len(set(releases)) == len(releases)


def numbers(release):
    return tuple(map(int, release.split(".")))


def test_headings_of_the_changelog():
    """What is not released stands first, and no other heading hides a release."""
    headings = re.findall(r"(?m)^## (.+)$", text_of("CHANGELOG.md"))
    assert headings[0] == "[Unreleased]"
    for heading in headings[1:]:
        assert re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}", heading), heading


@pytest.mark.parametrize("field", ["cff-version", "message", "title", "type"])
def test_citation_is_whole(field):
    """What the Citation File Format asks for."""
    assert cited(field)
    assert re.search(r"(?m)^authors:\n  - name: \S", text_of("CITATION.cff"))
