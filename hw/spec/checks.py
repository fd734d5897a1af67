"""Checks of what a component is built with.

Errors name the parameter, the bound and the value. Each check returns what it was given, so that
a constructor can keep it in the same line.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from enum import Enum
from typing import Any


def at_least(name: str, value: int, least: int) -> int:
    if _whole(name, value) < least:
        raise ValueError(f"{name}: must be at least {least}, not {value}")
    return value


def within(name: str, value: int, first: int, last: int) -> int:
    if not first <= _whole(name, value) <= last:
        raise ValueError(f"{name}: must be {first} … {last}, not {value}")
    return value


def below(name: str, value: int, count: int) -> int:
    """A number of one of ``count``."""
    return within(name, value, 0, count - 1)


def fits(name: str, value: int, bits: int) -> int:
    """A number of so many bits."""
    return below(name, value, 1 << bits)


def one_of(name: str, value: Any, choices: Iterable[Enum]) -> Any:
    """One of ``choices`` itself: a number that equals one is not."""
    if not any(value is choice for choice in choices):
        raise ValueError(f"{name}: must be one of {_names(choices)}, not {value!r}")
    return value


def some(name: str, values: Any) -> Any:
    """At least one value."""
    if not _several(name, values):
        raise ValueError(f"{name}: must be at least one, not {values!r}")
    return values


def subset(name: str, values: Any, choices: Collection[Enum]) -> Any:
    """Some of ``choices``, or none, each once."""
    for value in _several(name, values):
        one_of(name, value, choices)
    if len(set(values)) != len(values):
        raise ValueError(f"{name}: must be different, not {values!r}")
    return values


def covers(name: str, values: Any, kind_of: Callable[[Any], Enum], kinds: Iterable[Enum]) -> Any:
    """At least one of each of ``kinds``, which ``kind_of`` tells of a value."""
    if set(kinds) - {kind_of(value) for value in values}:
        raise ValueError(f"{name}: must be at least one of each of {_names(kinds)}, not {values!r}")
    return values


def increasing(name: str, values: Any) -> Any:
    """At least one number, from 0 on, each above the one before."""
    numbers = [_whole(name, value) for value in some(name, values)]
    if numbers[0] < 0 or numbers != sorted(set(numbers)):
        raise ValueError(f"{name}: must be at least 0 and increase, not {values!r}")
    return values


def _whole(name: str, value: Any) -> int:
    """``True`` would pass as 1."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name}: must be a whole number, not {value!r}")
    return value


def _several(name: str, values: Any) -> Any:
    if not isinstance(values, tuple | list | range):
        raise TypeError(f"{name}: must be a tuple or a list, not {values!r}")
    return values


def _names(choices: Iterable[Enum]) -> str:
    return ", ".join(choice.name for choice in choices)
