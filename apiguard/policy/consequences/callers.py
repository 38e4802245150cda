"""What an edit of a client, of its overrides or of a key does to those who hold the keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from ...rules.limits import Limit
from ...rules.networks import Network, is_within
from ..records import ClientRecord, KeyRecord
from ..snapshot import Snapshot
from .limits import describe, every_limit, find_loosened
from .statements import Draft, Kind, Statement, listed, merge, rate_of


@dataclass(frozen=True, slots=True)
class CallerRecords:
    """Clients and keys at one moment, by primary key."""

    clients: Mapping[Any, ClientRecord] = field(default_factory=dict)
    keys: Mapping[Any, KeyRecord] = field(default_factory=dict)


def compare_callers(
    before: CallerRecords,
    after: CallerRecords,
    policies: tuple[Snapshot, Snapshot],
    now: datetime,
) -> tuple[Statement, ...]:
    """Return what the step from some records to others does, openings first.

    A client that is new or gone has no keys, so it opens and closes nothing; a new key is
    no news to whoever makes it.

    Args:
        policies: the policy before and after, for the limits of tiers.
    """
    drafts: list[Draft] = []
    for pk, client in after.clients.items():
        if pk in before.clients:
            old = before.clients[pk]
            drafts += _compare_access(old, client)
            drafts += _compare_limits(old, client, policies, now)
    for pk, key in after.keys.items():
        if pk in before.keys:
            drafts += _compare_key(before.keys[pk], key)
    return merge(drafts)


def _compare_access(old: ClientRecord, new: ClientRecord) -> Iterator[Draft]:
    keys = f"The keys of “{new.name}”"
    was_accepted, is_accepted = (each.enabled and not each.broken for each in (old, new))
    if is_accepted and not was_accepted:
        yield Draft(Kind.OPENS, "client_enabled", f"{keys} are accepted.")
    elif was_accepted and not is_accepted:
        # A person who stops a client is in a hurry: the message comes afterwards.
        text = f"{keys} are refused from now on."
        yield Draft(Kind.CLOSES, "client_disabled", text, confirm=False)
    if where := _widened(old.allowed_networks, new.allowed_networks):
        yield Draft(Kind.OPENS, "client_networks", f"{keys} are accepted from {where}.")
    acts = new.acts_as_owner and new.owner_pk is not None
    if acts and (old.acts_as_owner, old.owner_pk) != (True, new.owner_pk):
        # The form of a client has a box of its own for it.
        text = f"{keys} act as another user than before: the owner."
        yield Draft(Kind.OPENS, "acts_as_owner", text, confirm=False)


def _compare_key(old: KeyRecord, new: KeyRecord) -> Iterator[Draft]:
    if new.revoked or new.broken:
        return  # It is refused, whatever it may do.
    key = f"The key “{new.name}” ({new.key_id})"
    if old.broken:
        yield Draft(Kind.OPENS, "key_mended", f"{key} had an error, and is accepted.")
    if gained := sorted(new.scopes - old.scopes):
        yield Draft(Kind.OPENS, "key_scopes", f"{key} may use {listed(gained)}.")
    if where := _widened(old.allowed_networks, new.allowed_networks):
        yield Draft(Kind.OPENS, "key_networks", f"{key} is accepted from {where}.")
    if old.expires_at and (new.expires_at is None or new.expires_at > old.expires_at):
        ends = "never ends" if new.expires_at is None else f"ends on {_moment(new.expires_at)}"
        text = f"{key} {ends} instead of on {_moment(old.expires_at)}."
        yield Draft(Kind.OPENS, "key_expiry", text)
    if old.not_before and (new.not_before is None or new.not_before < old.not_before):
        begins = "now" if new.not_before is None else f"from {_moment(new.not_before)} on"
        yield Draft(Kind.OPENS, "key_begin", f"{key} is accepted {begins}.")


def _widened(old: Sequence[Network], new: Sequence[Network]) -> str:
    """Return from where credentials are accepted; "" if from nowhere that is new."""
    if not old or (new and all(is_within(network, old) for network in new)):
        return ""
    return ", ".join(map(str, new)) or "any address"


def _compare_limits(
    old: ClientRecord,
    new: ClientRecord,
    policies: tuple[Snapshot, Snapshot],
    now: datetime,
) -> Iterator[Draft]:
    if old.tier_pk == new.tier_pk:
        # What becomes of the tier itself is no matter of this client.
        for limit in every_limit(policies[1], new.tier_pk):
            if not limit.shadow:
                yield from _compare_amounts(old, new, limit, now)
        return
    was_served, is_served = map(_is_served, policies, (old, new))
    if is_served != was_served:
        text = f"The keys of “{new.name}” were answered 503, and are served again."
        if not is_served:
            text = f"The keys of “{new.name}” are answered 503: the tier has an error."
        yield Draft(Kind.OPENS if is_served else Kind.CLOSES, "client_tier", text)
        return
    before, after = _limits(old, policies[0], now), _limits(new, policies[1], now)
    tier = policies[1].tiers.get(new.tier_pk)
    # A limit of one route holds nobody elsewhere.
    everywhere = [] if tier is None else [after[limit.pk] for limit in tier.everywhere]
    loosened = find_loosened(before.values(), everywhere)
    if loosened and not any(not limit.shadow for limit in after.values()):
        yield Draft(Kind.OPENS, "unlimited", f"“{new.name}” becomes unlimited.")
    elif loosened:
        text = f"“{new.name}” loses {describe(loosened)}."
        yield Draft(Kind.OPENS, "limits_lost", text)


def _is_served(policy: Snapshot, client: ClientRecord) -> bool:
    """Whether an error of the client's tier lets its requests through."""
    tier = policy.tiers.get(client.tier_pk)
    return client.tier_pk is None or (tier is not None and not tier.broken)


def _compare_amounts(
    old: ClientRecord, new: ClientRecord, limit: Limit, now: datetime
) -> Iterator[Draft]:
    """Yield whether a client has another amount of a limit, or has its own one for longer."""
    (before, until), (after, end) = (_amount(each, limit, now) for each in (old, new))
    may_use = f"“{new.name}” may use {rate_of(replace(limit, amount=after))}"
    if after != before:
        text = f"{may_use} instead of {rate_of(replace(limit, amount=before))} ({limit.name})"
        text += "." if end is None else f" until {_moment(end)}."
        is_opened = after > before
    elif after != limit.amount and end != until:
        text = f"{may_use} ({limit.name}) {_until(end)} instead of {_until(until)}."
        is_longer = end is None or (until is not None and end > until)
        is_opened = is_longer == (after > limit.amount)
    else:
        return
    # What ends by itself is listed, and needs no confirmation.
    kind = Kind.OPENS if is_opened and end is None else Kind.CHANGES
    yield Draft(kind, "override", text, confirm=kind is Kind.OPENS)


def _amount(client: ClientRecord, limit: Limit, now: datetime) -> tuple[int, datetime | None]:
    """Return the amount of a limit that a client has, and until when, if it is its own."""
    override = client.overrides.get(limit.pk)
    if override is None or (override.until is not None and override.until <= now):
        return limit.amount, None
    return override.amount, override.until


def _limits(client: ClientRecord, snapshot: Snapshot, now: datetime) -> Mapping[Any, Limit]:
    """Return the limits of a client with its own amounts, by primary key."""
    return {
        limit.pk: replace(limit, amount=_amount(client, limit, now)[0])
        for limit in every_limit(snapshot, client.tier_pk)
    }


def _until(end: datetime | None) -> str:
    return "for good" if end is None else f"until {_moment(end)}"


def _moment(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
