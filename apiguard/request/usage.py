"""What is recorded of every request, refused or not; all of it is in memory, nothing waits.

The usage numbers keep route, client, key and outcome, metrics route and outcome alone. A
request that used more of a unit than it had reserved has been answered when that is known:
it is reported, nothing refuses it afterwards, and the next requests pay.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from ..policy.records import KeyRecord
from ..rules.limits import Decision
from ..telemetry import proxies
from ..telemetry.background_signals import background_signals
from ..telemetry.buffer import buffer
from ..telemetry.metrics import metrics
from ..telemetry.usage import usage
from .context import GuardContext
from .verdict import Verdict

logger = logging.getLogger("apiguard.request")

# As models/usage.py has it, which this package does not import: no client, no key.
NOBODY = 0


def record_request(context: GuardContext) -> None:
    """Record the usage, the use of the key, exceeded shadow limits and untrusted proxies."""
    credential, decision = context.credential, context.decision
    record_usage(context)
    if credential is not None and isinstance(credential.auth, KeyRecord):
        buffer.used(credential.auth.pk, context.network)
    if decision is not None:
        for one in decision.shadow_violated:
            buffer.shadow(one.limit.pk, context.principal)
    if context.facts.came_through_a_stranger(context.settings):
        proxies.note(context.facts.remote_addr)


def record_usage(context: GuardContext, verdict: Verdict | None = None) -> None:
    """Count this request under its route; requests without one are not counted.

    Args:
        verdict: instead of the one in the context.
    """
    route = context.route
    if route is None:
        return
    verdict = verdict or context.verdict
    if context.settings.metrics:
        metrics().count_request(route.name, verdict.outcome.value, verdict.enforced)
    if not context.settings.usage_keep_days:
        return
    usage.record(*entry_of(context), verdict.outcome.value, verdict.enforced)


def entry_of(context: GuardContext) -> tuple[int, int, int]:
    """Return route, client and key of a request, as the numbers that usage is kept by."""
    client_pk = key_pk = NOBODY
    credential = context.credential
    if credential is not None and isinstance(credential.auth, KeyRecord):
        # The record of a key that a client does not have has no number.
        client_pk, key_pk = credential.auth.client.pk, credential.auth.pk or NOBODY
    return 0 if context.route is None else context.route.pk, client_pk, key_pk


@dataclass(frozen=True, slots=True)
class SettlementReport:
    """What is known of a request whose units are settled, without its context."""

    entry: tuple[int, int, int]
    keeps_usage: bool
    principal: str
    client: str
    tier: str
    enforced: bool
    request_id: str

    @classmethod
    def of(cls, context: GuardContext) -> SettlementReport:
        """Build the report of a request that is counted now."""
        return cls(
            entry=entry_of(context),
            keeps_usage=bool(context.settings.usage_keep_days) and context.route is not None,
            principal=context.principal_for_people,
            client="" if context.client is None else context.client.slug,
            tier=context.tier,
            enforced=context.enforced,
            request_id=context.request_id,
        )

    def record_units(self, unit: str, amount: int) -> None:
        """Add units that the view has settled to the usage numbers."""
        if self.keeps_usage:
            usage.record_units(*self.entry, unit, amount)

    def __call__(self, unit: str, used: int, reserved: int, decision: Decision) -> None:
        """Report that ``used`` of a unit were counted where ``reserved`` had been reserved."""
        logger.info(
            "A request used %d %s and had reserved %d (request %s).",
            *(used, unit, reserved, self.request_id),
        )
        if self.keeps_usage:
            usage.record_overrun(*self.entry)
        full = [one.limit for one in decision.counted if not one.remaining]
        background_signals.limits_reached(
            self.principal,
            client=self.client,
            tier=self.tier,
            limits=tuple(limit.name for limit in full if not limit.shadow),
            enforced=self.enforced,
        )
