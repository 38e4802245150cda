"""What the commands share that import from other packages: ``--dry-run``, errors, the report.

A report has the same parts whatever package the rows come from: what was made, what was there
already, what means something else now, and what could not be carried over.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError

from ...errors import PolicyError
from ...models import acting
from ._console import Console, found, refused

Remark = str | PolicyError


def add_dry_run(parser: ArgumentParser) -> None:
    """Add ``--dry-run``."""
    parser.add_argument("--dry-run", action="store_true", help="print what would be made")


@contextmanager
def importing(command: str, note: str) -> Iterator[None]:
    """Write to the history that ``command`` makes the rows, and ``note`` as the reason.

    Raises:
        CommandError: with exit status 2, where the rules refuse a value in the block.
    """
    try:
        with acting(name=f"apiguard {command} (command line)", reason=note):
            yield
    except (PolicyError, ValidationError) as error:
        raise refused(error, "Nothing was imported") from error


@dataclass(frozen=True, slots=True)
class ImportReport:
    """The result of one import.

    Attributes:
        extra: members of the JSON object that only one command has.
    """

    dry_run: bool
    made: Sequence[str]
    left: Sequence[str] = ()
    notices: Sequence[Remark] = ()
    refused: Sequence[Remark] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    def write(self, console: Console) -> None:
        """Write the report as JSON or as lines."""
        console.answer(self.as_dict(), [*self._made(), *self.remarks()])

    def as_dict(self) -> dict[str, Any]:
        """Return the report for JSON."""
        return {
            "dry_run": self.dry_run,
            "created": list(self.made),
            "there_already": list(self.left),
            "notices": [_as_json(remark) for remark in self.notices],
            "refused": [_as_json(remark) for remark in self.refused],
            **self.extra,
        }

    def remarks(self) -> Iterator[str]:
        """Yield the lines about everything that was not made."""
        for kind, remarks in (
            ("left", self.left),
            ("notice", self.notices),
            ("refused", self.refused),
        ):
            for remark in remarks:
                yield from _lines(kind, remark)

    def fail_if_refused(self) -> None:
        """Raise the error with exit status 1 where something could not be carried over."""
        if self.refused:
            raise found(f"Not carried over: {len(self.refused)}.")

    def _made(self) -> list[str]:
        verb = "Would make" if self.dry_run else "Made"
        return [f"{verb} {line}." for line in self.made] or ["There is nothing to make."]


def _as_json(remark: Remark) -> Any:
    return remark if isinstance(remark, str) else remark.as_dict()


def _lines(kind: str, remark: Remark) -> Iterator[str]:
    if isinstance(remark, str):
        yield f"{kind}: {remark.removesuffix('.')}."
        return
    yield f"{kind}: {remark.field}: {remark.as_dict()['value']!r}"
    yield f"    {remark}"
    if remark.suggestion:
        yield f"    It became {remark.suggestion}."
