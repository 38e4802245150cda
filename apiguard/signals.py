"""Signals for the project's own code; connect receivers to these.

All are sent with ``send_robust``: a receiver that raises is logged under
``django.dispatch`` and stops nothing. None carries the text of a key.

===================  ===========================================================
What changes rows is sent once it is committed, in the thread that changed them:
``policy_published`` once per revision, ``policy_changed`` once per row. A rotation
sends ``key_issued`` for the new key, ``key_revoked`` if the old one ends at once, then
``key_rotated``. Writes of many rows at once (``update``, ``bulk_create``) send
``policy_published`` and ``policy_changed`` alone.

``key_expiring``, ``limit_reached``, ``counter_away`` and ``counter_back`` are sent by
a thread away from requests (``apiguard.telemetry.background_signals``).
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.dispatch import Signal

key_issued = Signal()
key_rotated = Signal()
key_revoked = Signal()
key_expiring = Signal()
limit_reached = Signal()
policy_published = Signal()
policy_changed = Signal()
counter_away = Signal()
counter_back = Signal()


def after_commit(signal: Signal, sender: type[Any], using: str, **named: Any) -> None:
    """Send ``signal`` when the open transaction is committed, or now if there is none."""
    if signal.has_listeners(sender):
        transaction.on_commit(lambda: _send(signal, sender, named), using=using)


def _send(signal: Signal, sender: type[Any], named: dict[str, Any]) -> None:
    signal.send_robust(sender, **named)
