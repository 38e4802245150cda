"""Which prefixes cover a URL pattern, of which only the fixed beginning is known.

A pattern such as ``/orders/<int:pk>`` has a fixed text and a variable rest. Where the
text is not all of the path, anything may follow it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Generic, NamedTuple, TypeVar

from .paths import PrefixTable

T = TypeVar("T")


class FixedPath(NamedTuple):
    """The fixed beginning of the paths that one pattern matches."""

    text: str
    is_whole: bool
    """Whether the pattern matches this text alone."""

    @property
    def anchor(self) -> str:
        """A path that only those prefixes cover that cover every path of the pattern."""
        return self.text if self.is_whole else self.text[: self.text.rfind("/") + 1]

    def may_be_below(self, prefix: str) -> bool:
        """Whether ``prefix`` covers a path of the pattern, as far as its text tells."""
        if self.is_whole:
            return f"{self.text}/".startswith(prefix)
        return self.text.startswith(prefix) or prefix.startswith(self.text)


@dataclass(frozen=True, slots=True)
class Guards(Generic[T]):
    """What decides for the paths of one pattern."""

    everywhere: T | None
    """The value of the longest prefix that covers all of them."""
    in_part: tuple[T, ...] = ()
    """The values of longer prefixes that may cover some of them."""


def find_guards(path: FixedPath, table: PrefixTable[T], prefixes: Sequence[str]) -> Guards[T]:
    """Return what decides for ``path``; ``prefixes`` are those of ``table``, sorted."""
    if path.is_whole:
        return Guards(table.find(path.text))
    first = bisect_left(prefixes, path.text)
    below = takewhile(lambda prefix: prefix.startswith(path.text), prefixes[first:])
    found = (table.find(prefix) for prefix in below if prefix != path.text)
    return Guards(table.find(path.anchor), tuple(one for one in found if one is not None))
