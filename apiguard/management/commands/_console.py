"""What all sub-commands share: output, exit status, arguments.

Standard output carries the answer, and nothing else where ``--json`` is given;
standard error carries notes for people. Exit status: 0; 1, something was found;
2, used wrongly; 130, interrupted.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TextIO

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.management.base import CommandError

from ...errors import PolicyError
from ...models import PolicyModel
from ...models.state import write_alias

# The last is what a shell reports of a command that Ctrl+C ended.
FOUND, USED_WRONGLY, INTERRUPTED = 1, 2, 130

# How many rows are looked through for a name that may have been meant.
NEAREST_AMONG = 1000


# A name in a row may hold what moves a terminal's cursor, or turns the direction of its text.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def _escaped(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]


class Writer(Protocol):
    """A stream as Django's commands have it."""

    def write(self, text: str, style_func: Callable[[str], str] | None = None) -> object: ...

    def flush(self) -> object: ...

    def fileno(self) -> int: ...


@dataclass(slots=True)
class LastingOutput:
    """A stream that a command may write to until its end, also after the reader is gone.

    ``apply policy.yaml | head -1`` must apply all of the file. ``error`` is why the
    stream could not be written, other than that its reader had enough.
    """

    stream: Writer
    error: OSError | None = None

    def write(self, text: str, style_func: Callable[[str], str] | None = None) -> None:
        """Write a text as Django's wrapper does; raises nothing."""
        try:
            self.stream.write(text, style_func)
        except OSError as error:
            self._discard_the_rest(error)

    def flush(self) -> None:
        """Send what is buffered; raises nothing."""
        try:
            self.stream.flush()
        except OSError as error:
            self._discard_the_rest(error)

    def fileno(self) -> int:
        """Return the descriptor of the stream."""
        return self.stream.fileno()

    def _discard_the_rest(self, error: OSError) -> None:
        if not isinstance(error, BrokenPipeError):
            self.error = error
        # Python would try once more to send its buffer when it exits, and complain.
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, self.fileno())
        os.close(devnull)


@dataclass(frozen=True, slots=True)
class Console:
    """The two streams of one run."""

    stdout: Writer
    stderr: Writer
    as_json: bool = False

    def answer(self, data: Any, lines: Iterable[str]) -> None:
        """Write the result: ``data`` as JSON, or ``lines`` for people."""
        if self.as_json:
            self.stdout.write(json.dumps(data))
            return
        for line in lines:
            self.line(line)

    def line(self, text: str) -> None:
        """One line of the result, for people."""
        self.stdout.write(_UNPRINTABLE.sub(_escaped, text))

    def note(self, text: str) -> None:
        """Write a note for people, beside the result."""
        # Without a style, Django colours standard error as an error.
        self.stderr.write(_UNPRINTABLE.sub(_escaped, text), str)


Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SubCommand:
    """One word after ``manage.py apiguard``: its arguments, and what it does.

    ``needs_tables`` is False for what is answered from the settings alone.
    """

    name: str
    help: str
    run: Callable[[Console, Options], None]
    arguments: Callable[[ArgumentParser], None] = lambda parser: None
    needs_tables: bool = True


def found(text: str) -> CommandError:
    """Return the error with exit status 1: something was found, or is missing."""
    return CommandError(text, returncode=FOUND)


def used_wrongly(text: str) -> CommandError:
    """Return the error with exit status 2; ``text`` says what to do instead."""
    return CommandError(text, returncode=USED_WRONGLY)


def refused(error: PolicyError | ValidationError, what: str) -> CommandError:
    """Return the error with exit status 2 for a value that the rules refuse."""
    if isinstance(error, ValidationError):
        return used_wrongly(f"{what}: {' '.join(_messages(error))}")
    meant = f" Did you mean {error.suggestion!r}?" if error.suggestion else ""
    return used_wrongly(f"{what}: {error}{meant}")


def _messages(error: ValidationError) -> list[str]:
    if not hasattr(error, "error_dict"):
        return error.messages
    return [
        message if field == NON_FIELD_ERRORS else f"{field}: {message}"
        for field, messages in error.message_dict.items()
        for message in messages
    ]


def standard_input() -> TextIO:
    """Return standard input.

    Raises:
        CommandError: the shell closed it.
    """
    # mypy does not know that Python has None here where the descriptor is closed.
    stream: TextIO | None = sys.stdin
    if stream is None:
        raise used_wrongly("Standard input is closed. Pipe the text into the command.")
    return stream


def named(model: type[PolicyModel], field: str, value: str) -> Any:
    """Return the row whose ``field`` is ``value``.

    Raises:
        CommandError: there is none; the text names the most similar value.
    """
    rows = model._default_manager.using(write_alias())
    row = rows.filter(**{field: value}).first()
    if row is not None:
        return row
    known = [
        str(name) for name in rows.order_by(field).values_list(field, flat=True)[:NEAREST_AMONG]
    ]
    kind = model._meta.verbose_name
    raise used_wrongly(f"There is no {kind} {value!r}. {_instead(kind, value, known)}")


def _instead(kind: object, value: str, known: Sequence[str]) -> str:
    if not known:
        return f"There is none at all: make one in the admin ({kind})."
    nearest = difflib.get_close_matches(value, known, n=1)
    if nearest:
        return f"Did you mean {nearest[0]!r}?"
    more = ", …" if len(known) > 5 else ""
    return f"There are: {', '.join(known[:5])}{more}."


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from ``least`` to ``most``, for argparse."""

    def parse(text: str) -> int:
        if text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most:
            return int(text)
        raise ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}.")

    return parse


def reason(text: str) -> str:
    """Return the text of an argument without space around it; an empty one is an error."""
    if not text.strip():
        raise ArgumentTypeError("Give a reason: the history keeps it.")
    return text.strip()


def moment(at: datetime | None) -> str | None:
    """Return a time as RFC 3339, for JSON."""
    return None if at is None else at.isoformat(timespec="seconds")


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table whose columns are aligned."""
    cells = [tuple(heads), *(tuple(row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
