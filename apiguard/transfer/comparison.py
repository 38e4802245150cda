"""What two ways of matching decide differently, shown by examples.

A regular expression of a project's settings and the rows that it becomes are
both asked about the same examples. Where their answers differ, the difference
is named by an example that a person can check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

Matches = Callable[[str], bool]

SHOWN: Final = 3
"""How many examples of a difference are shown."""


def describe_differences(before: Matches, after: Matches, examples: Iterable[str]) -> list[str]:
    """Return a sentence about what is gained, and one about what is lost.

    Args:
        before: what matches today.
        after: what the rows match.
        examples: texts that both are tried on, in this order; doubles are ignored.
    """
    answers = {example: (before(example), after(example)) for example in examples}
    gained = [example for example, answer in answers.items() if answer == (False, True)]
    lost = [example for example, answer in answers.items() if answer == (True, False)]
    sentences = []
    if gained:
        sentences.append(f"The rows also match {_listed(gained)}.")
    if lost:
        sentences.append(f"The rows no longer match {_listed(lost)}.")
    return sentences


def _listed(examples: Iterable[str]) -> str:
    return ", ".join(islice(examples, SHOWN))
