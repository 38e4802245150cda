"""A refused request as a row, for tests of what shows it."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from apiguard.models import Refusal


def refuse(**fields: Any) -> Refusal:
    """Store a refusal for want of a scope; ``fields`` replace what is different."""
    given = {
        "at": timezone.now(),
        "request_id": "11111111-quoted",
        "method": "GET",
        "path": "/api/orders/7",
        "status": 403,
        "enforced": True,
        "outcome": "scope_missing",
        "reason": "needs orders:write; the key has orders:read",
        "principal": "ip:192.0.2.1",
        "is_identified": False,
        "address": "192.0.2.1",
        "revision": 1,
    }
    return Refusal.objects.create(**{**given, **fields})
