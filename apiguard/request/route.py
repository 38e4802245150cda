"""Whether the route itself can be enforced.

Which route it is was found when the passage began: the longest prefix. A
route whose rows are broken is refused after credentials, so that a bad
credential reads the same everywhere.
"""

from __future__ import annotations

from .passage import Passage
from .verdict import Outcome, Verdict

RETRY_SECONDS = 10


def judge(passage: Passage) -> Verdict | None:
    """503 where the policy of the route is broken; a row is to be mended first."""
    if passage.route is None or not passage.route.broken:
        return None
    reason = "; ".join(str(problem) for problem in passage.route.broken)
    return Verdict(Outcome.POLICY_BROKEN, reason=reason, retry_after=RETRY_SECONDS)
