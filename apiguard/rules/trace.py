"""``traceparent``: which trace a request belongs to (W3C Trace Context, section 3.2).

Parsed to be logged, never to be trusted: a caller may write any ids.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Trace(NamedTuple):
    """The caller's ids: 32 and 16 lower-case hex digits, neither of them all zeros."""

    trace_id: str
    span_id: str


# Version 00 ends after the flags; of a later one, more may follow a dash (section 3.2.4).
_TRACEPARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})"
    r"-(?P<trace>(?!0{32})[0-9a-f]{32})"
    r"-(?P<parent>(?!0{16})[0-9a-f]{16})"
    r"-[0-9a-f]{2}(?P<more>-|\Z)"
)


def parse_traceparent(value: str) -> Trace | None:
    """Return the ids of a ``traceparent``, or ``None`` where the standard says to ignore it.

    Never raises; reads the first 56 characters alone, however many there are.
    """
    found = _TRACEPARENT.match(value)
    if found is None or (found["more"] and found["version"] == "00"):
        return None
    return Trace(found["trace"], found["parent"])
