"""What a benchmark prints: tables, as aligned text or as Markdown; progress goes elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Table:
    """A table under a heading, with a note on how its figures came about."""

    title: str
    note: str
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def markdown(self) -> str:
        """As GitHub reads it."""
        lines = [f"## {self.title}\n", f"{self.note}\n", f"| {' | '.join(self.head)} |"]
        lines.append("|" + "---|" * len(self.head))
        lines += [f"| {' | '.join(map(str, row))} |" for row in self.rows]
        return "\n".join(lines) + "\n"

    def text(self) -> str:
        """As a terminal shows it: the first column to the left, numbers to the right."""
        cells = [list(map(str, row)) for row in (self.head, *self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [_aligned(row, widths) for row in cells]
        lines.insert(1, "-" * len(lines[0]))
        return "\n".join([self.title.upper(), self.note, "", *lines, ""])


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = row
    padded = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
    return "  ".join([first.ljust(widths[0]), *padded])


def say(line: str = "") -> None:
    """One line of the result."""
    sys.stdout.write(f"{line}\n")


def progress(line: str) -> None:
    """One line for whoever waits."""
    sys.stderr.write(f"... {line}\n")
    sys.stderr.flush()
