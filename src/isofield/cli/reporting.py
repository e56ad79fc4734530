"""What goes to stderr: one line for each warning and one for an error."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TextIO

import typer

FAILURE, USAGE, INTERRUPTED = 1, 2, 130
# newer versions of typer carry their own click; this name is the same in all of them
UsageError = typer.BadParameter.__mro__[1]
# what messages of the library advise, in the words of the command line
_COMMANDS = (
    ("mesh.mended()", "isofield convert --mend"),
    ("mesh.validate()", "isofield info"),
    ("read_series gives all of them", "--step takes another"),
    ("read_series gives all", "--step takes another"),
)


class CommandError(ValueError):
    """A command cannot do what was asked, for the reason in the message."""


@dataclass
class Outcome:
    """Catches what a command raises, says it in one line, and keeps the exit code.

    debug : show the traceback as well. code : 0 until something was raised; then 1 for
    a failure, 2 for a usage error, 130 where the user interrupted.
    """

    debug: bool = False
    code: int = 0

    def __enter__(self) -> Outcome:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> bool:
        if error is None:
            return False
        if isinstance(error, typer.Exit):
            self.code = error.exit_code
            return True
        if isinstance(error, BrokenPipeError):
            self.code = _unread()
            return True
        if not isinstance(error, Exception | KeyboardInterrupt):
            return False
        if self.debug:
            typer.echo("".join(traceback.format_exception(error)), err=True, nl=False)
        self.code, text = _said(error)
        _line("Error", text, "red")
        return True


def _unread() -> int:
    """Nobody reads on, as in `isofield info a.vtu | head -1`: no more is written, not
    even at the end of the process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILURE


def _said(error: BaseException) -> tuple[int, str]:
    if isinstance(error, UsageError):
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "isofield"
        text = getattr(error, "format_message", error.__str__)()
        return USAGE, f"{text.rstrip('.')}; see '{command} --help'"
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, "; ".join(["interrupted", *map(str, error.args)])
    if isinstance(error, OSError) and error.filename and error.strerror:
        return FAILURE, f"{error.filename}: {error.strerror}"
    if _ours(type(error)):
        return FAILURE, str(error)
    name = type(error).__name__
    return FAILURE, f"{name}: {error} (--debug shows where)" if str(error) else name


def _ours(kind: type) -> bool:
    """Whether the message was written for users: our errors and the system's."""
    return kind.__module__.startswith("isofield.") or issubclass(kind, OSError)


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Show each warning that is meant for users as one line, and no others."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = _show
        yield


@contextmanager
def few_warnings(shown: int = 5) -> Iterator[None]:
    """Show the first warnings at the end, and how many more there were."""
    with warnings.catch_warnings(record=True) as caught:
        yield
    for warning in caught[:shown]:
        warnings.warn(warning.message, warning.category, stacklevel=3)
    if len(caught) > shown:
        warnings.warn(f"{len(caught) - shown} more of the kind", stacklevel=3)


def _show(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    _line("Warning", str(message), "yellow")


def _line(kind: str, text: str, colour: str) -> None:
    head = typer.style(f"{kind}:", fg=colour, bold=True)
    for call, command in _COMMANDS:
        text = text.replace(call, command)
    typer.echo(f"{head} {' '.join(text.split())}", err=True)
