"""The process that a command runs in: its signals, its streams, and how it ends."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

import click

from hw.spec.config import ConfigError
from models.cache import CacheError
from scin.errors import EXIT_BAD_INPUT
from scin.errors import STATUS as OWN_STATUS
from scin.report.files import reason
from scin.report.terminal import replace_closed_streams, write_any_sign

SIGNALLED = 128
"""A command that ends by a signal has this exit status and the signal's number, as in shells."""


class Terminated(BaseException):
    """A signal asks the process to end; what is under way is cleaned up on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    # A second one while cleaning up would leave half of it.
    signal.signal(number, signal.SIG_IGN)
    raise Terminated(number)


ENDING = (signal.SIGTERM, signal.SIGHUP)
"""Signals that end a command as Ctrl-C does."""


@contextmanager
def orderly() -> Iterator[None]:
    """Around a whole command: signals unwind it, and streams that are gone are no error."""
    before: dict[signal.Signals, Any] = {}
    try:
        for number in ENDING:
            # One that is ignored, as by nohup, stays ignored; only a main thread may ask.
            if signal.getsignal(number) == signal.SIG_DFL:
                with suppress(ValueError):
                    before[number] = signal.signal(number, _terminate)
        replace_closed_streams()
        write_any_sign()
        yield
        _flush()
    except KeyboardInterrupt:
        _end("interrupted", signal.SIGINT)
    except Terminated as error:
        _end("terminated", error.number)
    except BrokenPipeError:
        _forget_streams()
        sys.exit(SIGNALLED + signal.SIGPIPE)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def _end(what: str, number: int) -> NoReturn:
    if "amaranth" in sys.modules:
        from amaranth.hdl import UnusedElaboratable

        # Hardware that was not emitted any more is no mistake in its description.
        warnings.simplefilter("ignore", UnusedElaboratable)
    with suppress(BrokenPipeError):
        click.echo(f"scin: {what}", err=True)
    sys.exit(SIGNALLED + number)


def _forget_streams() -> None:
    """What is still in their buffers goes nowhere, without a complaint at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


STATUS = {**OWN_STATUS, ConfigError: EXIT_BAD_INPUT, CacheError: EXIT_BAD_INPUT}
"""By error, those that hardware and models raise included."""


class exit_status:  # noqa: N801
    """Turn the errors a user can cause or mend into a line and an exit status."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        for kind_of_error, status in STATUS.items():
            if isinstance(error, kind_of_error):
                click.echo(f"scin: {error}", err=True)
                sys.exit(status)
        if isinstance(error, BrokenPipeError):
            return
        if isinstance(error, OSError):
            # A disk that is full, a folder that is gone: what no command could foresee.
            where = f"{error.filename}: " if error.filename else ""
            click.echo(f"scin: {where}{reason(error)}", err=True)
            sys.exit(EXIT_BAD_INPUT)
        if isinstance(error, MemoryError):
            click.echo(f"scin: out of memory: {error}", err=True)
            sys.exit(EXIT_BAD_INPUT)
