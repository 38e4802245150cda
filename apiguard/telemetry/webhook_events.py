"""The JSON of an event: what a signal carries, as plain values without secrets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from django.dispatch import Signal
from django.utils import timezone

from .. import conf, signals
from ..models import ApiKey
from ..rules.redaction import redact

MAX_TEXT = 500


def build_event(signal: Signal, arguments: Mapping[str, Any]) -> str:
    """Return the body of the event of a signal that was sent with these arguments."""
    name, data = _EVENTS[signal]
    at = arguments.get("at") or timezone.now()
    event = {"type": name, "timestamp": _moment(at), "data": data(arguments)}
    return json.dumps(event, separators=(",", ":"))


def _moment(at: datetime | None) -> str | None:
    if at is None:
        return None
    # Without USE_TZ rows hold times of the project's own zone.
    aware = timezone.make_aware(at) if timezone.is_naive(at) else at
    return aware.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _text(value: object) -> str:
    return redact(str(value), conf.current().key_namespace, MAX_TEXT)


def _user(by: Any) -> str | None:
    return None if by is None else _text(by.get_username())


def _key(key: ApiKey) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "name": _text(key.name),
        "client": key.client.slug,
        "environment": key.environment,
        "expires_at": _moment(key.expires_at),
        "revoked_at": _moment(key.revoked_at),
    }


def _key_issued(given: Mapping[str, Any]) -> dict[str, Any]:
    return {"key": _key(given["key"]), "by": _user(given["by"])}


def _key_rotated(given: Mapping[str, Any]) -> dict[str, Any]:
    keys = {"old": _key(given["old"]), "new": _key(given["new"])}
    return {**keys, "by": _user(given["by"]), "reason": _text(given["reason"])}


def _key_revoked(given: Mapping[str, Any]) -> dict[str, Any]:
    by, reason = _user(given["by"]), _text(given["reason"])
    return {"key": _key(given["key"]), "by": by, "reason": reason}


def _key_expiring(given: Mapping[str, Any]) -> dict[str, Any]:
    return {"key": _key(given["key"])}


def _limit_reached(given: Mapping[str, Any]) -> dict[str, Any]:
    names = ("principal", "client", "tier", "limit")
    return {**{name: _text(given[name]) for name in names}, "enforced": given["enforced"]}


def _policy_published(given: Mapping[str, Any]) -> dict[str, Any]:
    by, reason = _text(given["by_name"]) or None, _text(given["reason"])
    return {"revision": given["revision"], "by": by, "reason": reason}


def _counter_changed(given: Mapping[str, Any]) -> dict[str, Any]:
    return {"process": given["process"]}


_EVENTS: dict[Signal, tuple[str, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    signals.key_issued: ("key_issued", _key_issued),
    signals.key_rotated: ("key_rotated", _key_rotated),
    signals.key_revoked: ("key_revoked", _key_revoked),
    signals.key_expiring: ("key_expiring", _key_expiring),
    signals.limit_reached: ("limit_reached", _limit_reached),
    signals.policy_published: ("policy_published", _policy_published),
    signals.counter_away: ("counter_away", _counter_changed),
    signals.counter_back: ("counter_back", _counter_changed),
}

# policy_changed is sent for every row; the revision that it belongs to is an event already.
SIGNALS = tuple(_EVENTS)
