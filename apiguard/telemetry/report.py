"""What one worker says of the policy that it holds, as text that others may read.

Times are ages in seconds at the moment of saying, because the clocks of two
machines differ. What is read back may be anything: it is judged member by
member, and whatever is not what it should be is as if it had not been said.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from .board import MAX_LENGTH

LONGEST_ERROR = 200
# More seconds than anything here lasts, about thirty years.
LONGEST_AGE = 1e9


class Standing(Protocol):
    """What ``policy`` tells of the snapshot in force; see ``policy.standing``."""

    @property
    def revision(self) -> int | None: ...
    @property
    def stamp(self) -> str: ...
    @property
    def looked_at(self) -> float | None: ...
    @property
    def delay(self) -> float | None: ...
    @property
    def failed_since(self) -> float | None: ...
    @property
    def error(self) -> str: ...
    @property
    def problems(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Report:
    """One worker's word.

    Attributes:
        revision, stamp: of the policy in force there; ``None``, "": none.
        looked: seconds since it last saw the state of the database.
        delay: seconds from publication until the revision was in force there.
        failing: seconds for which its looks have failed; ``None``: they do not.
        waiting: seconds for which a look has been under way; ``None``: none is.
        error: why the last look failed; "" where it did not.
        problems: how many mistakes it finds in the policy.
    """

    revision: int | None = None
    stamp: str = ""
    looked: float | None = None
    delay: float | None = None
    failing: float | None = None
    waiting: float | None = None
    error: str = ""
    problems: int = 0

    @classmethod
    def of(cls, standing: Standing, waiting: float | None = None) -> Report:
        """What there is to say now."""
        now = time.time()
        return cls(
            standing.revision,
            standing.stamp,
            _since(standing.looked_at, now),
            standing.delay,
            _since(standing.failed_since, now),
            waiting,
            standing.error[:LONGEST_ERROR],
            standing.problems,
        )

    def text(self) -> str:
        """As it is left for others: a JSON object in ASCII."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Report | None:
        """What ``text`` says; ``None`` where it is no report. Never raises."""
        try:
            said = json.loads(text) if len(text) <= MAX_LENGTH else None
        except (ValueError, RecursionError):
            return None
        if not isinstance(said, dict):
            return None
        return cls(
            _whole(said.get("revision")),
            plain(said.get("stamp"), 32),
            _age(said.get("looked")),
            _age(said.get("delay")),
            _age(said.get("failing")),
            _age(said.get("waiting")),
            plain(said.get("error"), LONGEST_ERROR),
            _whole(said.get("problems")) or 0,
        )


def plain(value: object, length: int) -> str:
    """The beginning of a text, as one line that can be shown; "" for what is none."""
    if not isinstance(value, str):
        return ""
    return "".join(letter if letter.isprintable() else "?" for letter in value[:length])


def _since(at: float | None, now: float) -> float | None:
    # Clocks are set back at times.
    return None if at is None else round(max(0.0, now - at), 3)


def _age(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= LONGEST_AGE else None


def _whole(value: Any) -> int | None:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and 0 <= value < 2**63 else None
