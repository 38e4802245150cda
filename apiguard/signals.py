"""Signals for the project's own code; connect receivers to these.

All are sent once what they tell is committed, with ``send_robust``: a receiver
that raises is logged under ``django.dispatch`` and stops nobody. None carries
the text of a key. Writes of many rows at once (``update``, ``bulk_create``)
send ``policy_changed`` alone.

=================  ====================================================================
signal             arguments besides ``sender``
=================  ====================================================================
``key_created``    ``key``; ``by``, the user who did it, or ``None``. Sender: ``ApiKey``
``key_rotated``    ``old``, ``new``, ``by``, ``reason``. The old key's ``revoked_at`` or
                   ``expires_at`` says when it ends. Sender: ``ApiKey``
``key_revoked``    ``key``, ``by``, ``reason``. Sender: ``ApiKey``
``policy_changed`` ``change``, the ``PolicyChange`` of one write. Sender: ``PolicyChange``
=================  ====================================================================

A rotation sends ``key_created`` for the new key, ``key_revoked`` if the old
one ends at once, then ``key_rotated``.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.dispatch import Signal

key_created = Signal()
key_rotated = Signal()
key_revoked = Signal()
policy_changed = Signal()


def after_commit(signal: Signal, sender: type[Any], using: str, **named: Any) -> None:
    """Send ``signal`` when the open transaction is committed, or now if there is none."""
    if signal.has_listeners(sender):
        transaction.on_commit(lambda: _send(signal, sender, named), using=using)


def _send(signal: Signal, sender: type[Any], named: dict[str, Any]) -> None:
    signal.send_robust(sender, **named)
