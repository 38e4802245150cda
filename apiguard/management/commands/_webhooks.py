"""``apiguard check``, webhooks: whether events reach their receivers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ... import conf
from ...models import WebhookStatus
from ...models.state import write_alias
from ...rules.webhooks import WebhookTarget
from ._console import moment


@dataclass(frozen=True, slots=True)
class _Webhook:
    name: str
    target: WebhookTarget
    status: WebhookStatus

    def lines(self) -> Iterator[str]:
        name, status = self.name, self.status
        total = f"{status.delivered:,} delivered, {status.failed:,} failed"
        if status.dropped:
            total += f", {status.dropped:,} without room in the queue"
        yield f"Webhook {name} ({self.target.host}): {total}."
        if status.is_failing:
            yield (
                f"warning: webhook {name!r} fails: {status.error}. "
                f"The last event that failed: {moment(status.failed_at)}."
            )
            last = moment(status.delivered_at)
            yield f"    {f'Last delivered: {last}.' if last else 'None was ever delivered.'}"

    def data(self) -> dict[str, Any]:
        status = self.status
        return {
            "name": self.name,
            "host": self.target.host,
            "failing": status.is_failing,
            "delivered": status.delivered,
            "failed": status.failed,
            "dropped": status.dropped,
            "delivered_at": moment(status.delivered_at),
            "failed_at": moment(status.failed_at),
            "error": status.error or None,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """All webhooks of the settings."""

    webhooks: tuple[_Webhook, ...]

    def data(self) -> dict[str, Any]:
        """Return the member "webhooks" of the JSON answer."""
        return {"webhooks": [webhook.data() for webhook in self.webhooks]}

    def lines(self) -> Iterator[str]:
        """Yield the same for people."""
        for webhook in self.webhooks:
            yield from webhook.lines()


def report() -> Report:
    """Read how the deliveries went, over all processes; posts nothing."""
    targets = conf.current().webhooks
    rows = WebhookStatus.objects.using(write_alias()).by_name(targets) if targets else {}
    return Report(
        tuple(
            _Webhook(name, target, rows.get(name) or WebhookStatus(name=name))
            for name, target in targets.items()
        )
    )
