"""Whether limits became looser: of a tier, and of those who are counted under a path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from ...rules.limits import Limit
from ..snapshot import IssuerPolicy, Snapshot, TierPolicy
from .statements import Callers, Draft, Kind, count_of, listed, rate_of

# What happens while the counter is away: the later, the stricter.
_STORE_FAILURE = ("open", "local", "closed")


def is_as_strict(old: Limit, new: Limit) -> bool:
    """Return whether ``new`` admits nothing that ``old`` refuses."""
    if old.shadow:
        return True
    if new.shadow or new.amount > old.amount or new.period < old.period:
        return False
    if _strictness(new) < _strictness(old):
        return False
    # Whatever else differs (kind, calendar, unit) cannot be compared.
    same = replace(
        new,
        pk=old.pk,
        name=old.name,
        amount=old.amount,
        period=old.period,
        on_store_failure=old.on_store_failure,
    )
    return same == old


def _strictness(limit: Limit) -> int:
    known = limit.on_store_failure in _STORE_FAILURE
    return _STORE_FAILURE.index(limit.on_store_failure) if known else 0


def find_loosened(old: Iterable[Limit], new: Sequence[Limit]) -> list[Limit]:
    """Return the limits of ``old`` that no limit of ``new`` is as strict as."""
    return [
        limit
        for limit in old
        if not limit.shadow and not any(is_as_strict(limit, other) for other in new)
    ]


def compare_tiers(before: Snapshot, after: Snapshot, callers: Callers | None) -> Iterator[Draft]:
    """Yield what becomes of the callers of each tier; ``None``: anybody may be counted in it."""
    claimed = [issuer.name for issuer in after.issuers.values() if issuer.tier_claim]
    is_known = callers is not None and not claimed
    callers = callers or Callers()
    for pk, old in before.tiers.items():
        new = after.tiers.get(pk)
        if new is old:
            continue
        limits = {} if new is None else limits_of(new)
        yield from _lost_overrides(limits_of(old), limits, callers)
        if new is None:
            text = f"The tier “{old.name}” disappears."
            yield Draft(Kind.REMOVES, "tier_removed", text, confirm=not is_known)
        else:
            counted = who(pk, after, callers)
            for draft in _compare_tier(old, new, counted):
                yield draft._replace(confirm=draft.confirm and (bool(counted) or not is_known))
    if claimed and set(before.tiers_by_slug) != set(after.tiers_by_slug):
        moved = sorted(set(before.tiers_by_slug) ^ set(after.tiers_by_slug))
        yield Draft(
            Kind.OPENS,
            "tier_names",
            f"Tokens of {listed(claimed)} that name the tier {listed(moved)} have other limits.",
        )


def limits_of(tier: TierPolicy) -> dict[Any, tuple[Limit, Any]]:
    """Return every limit of a tier by primary key, with the route that it is for."""
    found: dict[Any, tuple[Limit, Any]] = {limit.pk: (limit, None) for limit in tier.everywhere}
    for route_pk, limits in tier.by_route.items():
        for limit in limits:
            found.setdefault(limit.pk, (limit, route_pk))
    return found


def who(tier_pk: Any, snapshot: Snapshot, callers: Callers) -> str:
    """Return who is counted in a tier, such as "1,000 clients, tokens of example"."""
    clients = callers.clients.get(tier_pk, 0)
    found = [count_of(clients, "client")] if clients else []
    issuers = [issuer.name for issuer in snapshot.issuers.values() if issuer.tier_pk == tier_pk]
    if issuers:
        found.append(f"tokens of {listed(sorted(issuers))}")
    routes = [route for _, route in routes_of(snapshot) if route.anonymous_tier == tier_pk]
    if routes:
        found.append(f"anonymous callers of {listed(sorted(route.name for route in routes))}")
    routes = [route for _, route in routes_of(snapshot) if route.user_tier == tier_pk]
    if routes:
        found.append(f"signed-in users of {listed(sorted(route.name for route in routes))}")
    return ", ".join(found)


def routes_of(snapshot: Snapshot) -> Iterator[tuple[str, Any]]:
    """Yield every route that is in force, with its prefix."""
    for prefix in sorted(snapshot.routes.prefixes()):
        route = snapshot.routes.find(prefix)
        if route is not None:
            yield prefix, route


def _compare_tier(old: TierPolicy, new: TierPolicy, counted: str) -> Iterator[Draft]:
    place = f"Tier “{new.name}”" + (f" ({counted})" if counted else "")
    if old.broken != new.broken:
        if old.broken:
            text = f"{place}: its callers were answered 503, and are served again."
            yield Draft(Kind.OPENS, "tier_mended", text)
            return
        yield Draft(Kind.CLOSES, "tier_broken", f"{place}: its callers are answered 503.")
    before, after = limits_of(old), limits_of(new)
    if _binds(before) and not _binds(after):
        subject = counted or f"Callers of tier “{new.name}”"
        yield Draft(Kind.OPENS, "unlimited", f"{subject} become unlimited (tier “{new.name}”).")
        return
    for pk, (limit, route_pk) in before.items():
        yield from _compare_limit(place, limit, route_pk, after.get(pk))
    for pk, (limit, _) in after.items():
        if pk not in before and not limit.shadow:
            text = f"{place}: a new limit “{limit.name}” of {rate_of(limit)}."
            yield Draft(Kind.CHANGES, "limit_added", text, confirm=False)


def _binds(limits: dict[Any, tuple[Limit, Any]]) -> bool:
    return any(not limit.shadow for limit, _ in limits.values())


def _compare_limit(
    place: str, old: Limit, route_pk: Any, now: tuple[Limit, Any] | None
) -> Iterator[Draft]:
    if now is None:
        if not old.shadow:
            text = f"{place}: the limit “{old.name}” of {rate_of(old)} disappears."
            yield Draft(Kind.OPENS, "limit_removed", text)
        return
    new, new_route_pk = now
    if new == old and new_route_pk == route_pk:
        return
    change = f"{place}: the limit “{new.name}”"
    if new_route_pk != route_pk and not old.shadow:
        if new_route_pk is not None:
            yield Draft(
                Kind.OPENS, "limit_moved", f"{change} counts the requests of another route."
            )
        else:
            text = f"{change} counts all routes together."
            yield Draft(Kind.CHANGES, "limit_moved", text, confirm=False)
    if not is_as_strict(old, new):
        yield Draft(Kind.OPENS, "limit_loosened", f"{change} {_difference(old, new)}.")
    elif new != old and not (new.shadow and old.shadow):
        text = f"{change} {_difference(old, new)}."
        yield Draft(Kind.CHANGES, "limit_tightened", text, confirm=False)


def _difference(old: Limit, new: Limit) -> str:
    if new.shadow and not old.shadow:
        return f"of {rate_of(old)} refuses nothing any more (shadow)"
    if old.shadow and not new.shadow:
        return f"of {rate_of(new)} refuses from now on"
    if rate_of(old) != rate_of(new):
        return f"changes from {rate_of(old)} to {rate_of(new)}"
    if old.on_store_failure != new.on_store_failure:
        return f"changes from “{old.on_store_failure}” to “{new.on_store_failure}” without counter"
    return "changes"


def _lost_overrides(
    old: dict[Any, tuple[Limit, Any]], new: dict[Any, tuple[Limit, Any]], callers: Callers
) -> Iterator[Draft]:
    for pk in old.keys() - new.keys():
        number = callers.overrides.get(pk, 0)
        if number:
            verb = "disappears" if number == 1 else "disappear"
            name = old[pk][0].name
            text = f"{count_of(number, 'override')} of the limit “{name}” {verb}."
            yield Draft(Kind.REMOVES, "overrides_lost", text)


def compare_issuer_tiers(
    old: IssuerPolicy, new: IssuerPolicy, before: Snapshot, after: Snapshot
) -> Iterator[Draft]:
    """Yield whether tokens of an issuer are limited less by another tier."""
    if old.tier_claim != new.tier_claim:
        text = f"The tier of tokens of “{new.name}” is read from another claim."
        yield Draft(Kind.OPENS, "tier_claim", text)
    if old.tier_pk == new.tier_pk:
        return
    tier = after.tiers.get(new.tier_pk)
    everywhere = () if tier is None else tier.everywhere
    loosened = find_loosened(every_limit(before, old.tier_pk), everywhere)
    if loosened:
        text = f"Tokens of “{new.name}” lose {describe(loosened)}."
        yield Draft(Kind.OPENS, "issuer_tier", text)


def every_limit(snapshot: Snapshot, tier_pk: Any) -> Iterator[Limit]:
    """Yield all limits of a tier, those of single routes included."""
    tier = snapshot.tiers.get(tier_pk)
    if tier is not None:
        yield from (limit for limit, _ in limits_of(tier).values())


def describe(limits: Sequence[Limit]) -> str:
    """Return such as "the limits per-minute (60 per minute) and per-day (5,000 per day)"."""
    noun = "limit" if len(limits) == 1 else "limits"
    return f"the {noun} {listed(f'{limit.name} ({rate_of(limit)})' for limit in limits)}"
