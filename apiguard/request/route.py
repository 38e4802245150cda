"""Whether the route itself can be enforced.

Which route it is was found when the context began: the longest prefix. A
route whose rows are broken is refused after credentials, so that a bad
credential reads the same everywhere.
"""

from __future__ import annotations

from .context import GuardContext
from .verdict import Outcome, Verdict

RETRY_SECONDS = 10


def check_route(context: GuardContext) -> Verdict | None:
    """503 where the policy of the route is broken; a row is to be mended first."""
    if context.route is None or not context.route.broken:
        return None
    reason = "; ".join(str(problem) for problem in context.route.broken)
    return Verdict(Outcome.POLICY_BROKEN, reason=reason, retry_after=RETRY_SECONDS)
