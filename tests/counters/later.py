"""A question that is decided no earlier than it is answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from apiguard.rules.limits import Decision


def nothing() -> None:
    """What most do when they are given up."""


@dataclass
class Later:
    """``Asked``, by two functions."""

    answer: Callable[[], Decision]
    give_up: Callable[[], None] = nothing
