"""What an edit does: two policies are compared, and each difference is a sentence.

``compare`` and ``compare_callers`` are pure. They promise that nothing is opened without
a statement: where a request would be admitted, a website could read a response, a caller
would be limited less or a view would see another user than before, one of the statements
is about it. A statement about something that in truth changes nothing is allowed.
"""

from __future__ import annotations

from .callers import CallerRecords, compare_callers
from .comparison import compare
from .conditions import find_conditions
from .statements import Callers, Kind, Statement, digest

__all__ = [
    "CallerRecords",
    "Callers",
    "Kind",
    "Statement",
    "compare",
    "compare_callers",
    "digest",
    "find_conditions",
]
