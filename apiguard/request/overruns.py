"""What is reported of a request that used more of a unit than it had reserved.

The request has been answered: nothing refuses it afterwards, and the next ones pay.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from ..rules.limits import Decision
from ..telemetry.background_signals import background_signals
from ..telemetry.usage import usage
from .context import GuardContext
from .usage import entry_of

logger = logging.getLogger("apiguard.request")


@dataclass(frozen=True, slots=True)
class OverrunReport:
    """What is known of the request, without its context."""

    entry: tuple[int, int, int]
    keeps_usage: bool
    principal: str
    client: str
    tier: str
    enforced: bool
    request_id: str

    @classmethod
    def of(cls, context: GuardContext) -> OverrunReport:
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
