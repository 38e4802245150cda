"""What an edit of a client or of its overrides does to those who hold its keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from ...rules.limits import Limit
from ...rules.networks import is_within
from ..records import ClientRecord
from ..snapshot import Snapshot
from .limits import describe, every_limit, find_loosened
from .statements import Draft, Kind, Statement, merge, rate_of


def compare_client(
    before: ClientRecord | None, after: ClientRecord | None, snapshot: Snapshot, now: datetime
) -> tuple[Statement, ...]:
    """Return what the step from one record of a client to another does, openings first.

    A client that is new or gone has no keys, so it opens and closes nothing.

    Args:
        snapshot: the policy, for the limits of tiers.
    """
    if before is None or after is None:
        return ()
    return merge(
        [
            *_compare_access(before, after),
            *_compare_limits(before, after, snapshot, now),
        ]
    )


def _compare_access(old: ClientRecord, new: ClientRecord) -> Iterator[Draft]:
    if new.enabled and not old.enabled:
        yield Draft(Kind.OPENS, "client_enabled", f"The keys of “{new.name}” are accepted.")
    elif old.enabled and not new.enabled:
        # A person who stops a client is in a hurry: the message comes afterwards.
        text = f"The keys of “{new.name}” are refused from now on."
        yield Draft(Kind.CLOSES, "client_disabled", text, confirm=False)
    held = list(old.allowed_networks)
    if held and not (
        new.allowed_networks and all(is_within(net, held) for net in new.allowed_networks)
    ):
        where = ", ".join(map(str, new.allowed_networks)) or "any address"
        text = f"The keys of “{new.name}” are accepted from {where}."
        yield Draft(Kind.OPENS, "client_networks", text)


def _compare_limits(
    old: ClientRecord, new: ClientRecord, snapshot: Snapshot, now: datetime
) -> Iterator[Draft]:
    before = _limits(old, snapshot, now)
    after = _limits(new, snapshot, now)
    if old.tier_pk != new.tier_pk:
        tier = snapshot.tiers.get(new.tier_pk)
        # A limit of one route holds nobody elsewhere.
        everywhere = [] if tier is None else [after[limit.pk] for limit in tier.everywhere]
        loosened = find_loosened(before.values(), everywhere)
        if loosened and not any(not limit.shadow for limit in after.values()):
            yield Draft(Kind.OPENS, "unlimited", f"“{new.name}” becomes unlimited.")
        elif loosened:
            text = f"“{new.name}” loses {describe(loosened)}."
            yield Draft(Kind.OPENS, "limits_lost", text)
        return
    for pk, limit in after.items():
        known = before[pk]
        if limit.amount == known.amount or limit.shadow:
            continue
        override = new.overrides.get(pk)
        until = None if override is None else override.until
        text = f"“{new.name}” may use {rate_of(limit)} instead of {rate_of(known)} ({limit.name})"
        text += "." if until is None else f" until {until:%Y-%m-%d %H:%M} UTC."
        is_raised = limit.amount > known.amount
        # What ends by itself is listed, and needs no confirmation.
        kind = Kind.OPENS if is_raised and until is None else Kind.CHANGES
        yield Draft(kind, "override", text, confirm=kind is Kind.OPENS)


def _limits(client: ClientRecord, snapshot: Snapshot, now: datetime) -> Mapping[Any, Limit]:
    """Return the limits of a client with its own amounts, by primary key."""
    found = {}
    for limit in every_limit(snapshot, client.tier_pk):
        override = client.overrides.get(limit.pk)
        if override is not None and (override.until is None or now < override.until):
            limit = replace(limit, amount=override.amount)
        found[limit.pk] = limit
    return found
