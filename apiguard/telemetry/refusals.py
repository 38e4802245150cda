"""One log line for every refusal, with the id that the caller can quote."""

from __future__ import annotations

import logging

logger = logging.getLogger("apiguard.refusals")


def log(
    *, route: str, outcome: str, reason: str, request_id: str, principal: str, enforced: bool
) -> None:
    """Say what was refused, by which route, and why; fields in ``extra`` too.

    Args:
        reason: the operator's reason; made printable, as parts of it may come
            from the request and must not break a log into lines.
        enforced: false where the route only observes.
    """
    printable = reason.encode("unicode_escape").decode("ascii")[:500]
    logger.info(
        "%s %s on route %r: %s (request %s, %s)",
        "Refused" if enforced else "Would have refused",
        outcome,
        route,
        printable or "no further reason",
        request_id,
        principal.encode("unicode_escape").decode("ascii")[:200],
        extra={
            "apiguard_request_id": request_id,
            "apiguard_outcome": outcome,
            "apiguard_route": route,
            "apiguard_enforced": enforced,
        },
    )
