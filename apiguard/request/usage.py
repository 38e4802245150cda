"""What the usage numbers keep of a request: route, client, key and outcome."""

from __future__ import annotations

from ..policy.records import KeyRecord
from ..telemetry.usage import usage
from .context import GuardContext
from .verdict import Verdict

# As models/usage.py has it, which this package does not import: no client, no key.
NOBODY = 0


def record_usage(context: GuardContext, verdict: Verdict | None = None) -> None:
    """Count this request under its route; requests without one are not counted.

    Args:
        verdict: instead of the one in the context.
    """
    route = context.route
    if route is None or not context.settings.usage_keep_days:
        return
    verdict = verdict or context.verdict
    usage.record(*entry_of(context), verdict.outcome.value, verdict.enforced)


def entry_of(context: GuardContext) -> tuple[int, int, int]:
    """Route, client and key of a request, as numbers that usage is kept by."""
    client_pk = key_pk = NOBODY
    credential = context.credential
    if credential is not None and isinstance(credential.auth, KeyRecord):
        # The record of a key that a client does not have has no number.
        client_pk, key_pk = credential.auth.client.pk, credential.auth.pk or NOBODY
    return 0 if context.route is None else context.route.pk, client_pk, key_pk
