"""The webhooks section of the overview: whether events reach their receivers."""

from __future__ import annotations

from dataclasses import dataclass

from ... import conf
from ...models import WebhookStatus
from ...models.state import write_alias
from ..display import DASH


@dataclass(frozen=True, slots=True)
class Webhook:
    """One receiver of the settings, and how its deliveries went, over all processes."""

    name: str
    host: str
    status: WebhookStatus

    @property
    def numbers(self) -> str:
        """Events delivered, failed, and without room in the queue, in this order."""
        counts = (self.status.delivered, self.status.failed, self.status.dropped)
        return " / ".join(f"{count:,}" for count in counts)

    @property
    def error(self) -> str:
        """Why the last event failed; a dash where it was delivered."""
        return self.status.error if self.status.is_failing else DASH


def webhooks_status() -> list[Webhook]:
    """Return the receivers of the setting ``WEBHOOKS``; one query, none without receivers."""
    targets = conf.current().webhooks
    if not targets:
        return []
    rows = WebhookStatus.objects.using(write_alias()).by_name(targets)
    return [
        Webhook(name, target.host, rows.get(name) or WebhookStatus(name=name))
        for name, target in targets.items()
    ]
