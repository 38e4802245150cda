"""What changes under one path prefix, between the routes that judge it before and after.

``None`` is a path that no route guards; a route that only observes refuses
nothing and changes no response, so it is taken for none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ...rules.limits import Limit
from ...rules.media import MediaType, covers
from ..snapshot import RouteHeaders, RoutePolicy, Snapshot
from .cors import compare_cors
from .headers import compare_headers
from .limits import describe, find_loosened
from .statements import WHERE, Draft, Kind, listed


class Place(NamedTuple):
    """One path prefix, and what judges it before and after."""

    prefix: str
    old: RoutePolicy | None
    new: RoutePolicy | None
    before: Snapshot
    after: Snapshot


def compare_place(place: Place) -> Iterator[Draft]:
    """Yield what changes under a prefix."""
    prefix, new = place.prefix, place.new
    old = None if place.old is None or not place.old.enforced else place.old
    if new is None or not new.enforced:
        if old is not None:
            yield _unguarded(place, old)
        return
    if _is_down(new):
        if old is None or not _is_down(old):
            text = f"Everything under {WHERE} is answered 503 (route “{new.name}”)."
            yield Draft(Kind.CLOSES, "route_down", text, prefix)
        # Preflights of a broken route are answered all the same.
        yield from compare_cors(None if old is None else old.cors, new.cors, prefix)
        return
    if old is None:
        yield from _guarded(prefix, new)
        return
    if _is_down(old):
        text = f"Everything under {WHERE} was answered 503, and the route “{new.name}” serves it."
        yield Draft(Kind.OPENS, "route_up", text, prefix)
        yield from _users_without_row(prefix, None, new)
        return
    if old.pk != new.pk:
        yield _leaves(place, old, new)
    yield from _compare_access(prefix, old, new)
    yield from _compare_content(prefix, old, new)
    yield from compare_cors(old.cors, new.cors, prefix)
    yield from compare_headers(old.headers, new.headers, prefix)
    yield from _compare_limits(place, old, new)


def _is_down(route: RoutePolicy) -> bool:
    return bool(route.broken) or route.mode == "closed"


def _unguarded(place: Place, old: RoutePolicy) -> Draft:
    new = place.new
    why = "" if new is None else f": the route “{new.name}” only observes"
    if _is_down(old):
        text = f"Everything under {WHERE} was answered 503 and becomes unguarded{why}."
    else:
        lost = listed(_rules_of(old, place.before))
        text = f"Everything under {WHERE} becomes unguarded{why}: no {lost}."
    return Draft(Kind.OPENS, "unguarded", text, place.prefix)


def _rules_of(route: RoutePolicy, snapshot: Snapshot) -> list[str]:
    """Return what a route has, for a sentence on what is lost with it."""
    has_limits = any(
        snapshot.tiers.get(pk) is not None for pk in (route.anonymous_tier, route.user_tier)
    )
    has_rules = route.methods or route.accepts or route.produces
    found = {
        "credential": route.access == "credentials",
        "CORS policy": route.cors is not None,
        "headers": route.headers != RouteHeaders(),
        "limit": has_limits,
        "request rules": bool(has_rules or route.max_body_bytes is not None),
    }
    return [name for name, present in found.items() if present] or ["check of keys and tokens"]


def _leaves(place: Place, old: RoutePolicy, new: RoutePolicy) -> Draft:
    kept = _rules_of(new, place.after)
    lost = [rule for rule in _rules_of(old, place.before) if rule not in kept]
    text = f"{WHERE} leaves the route “{old.name}” for “{new.name}”"
    if lost:
        text += f": {', '.join(f'no {rule}' for rule in lost)}"
    kind = Kind.REMOVES if lost else Kind.CHANGES
    return Draft(kind, "route_left", f"{text}.", place.prefix, confirm=bool(lost))


def _guarded(prefix: str, new: RoutePolicy) -> Iterator[Draft]:
    """Yield what begins where nothing was enforced before."""
    if new.access == "credentials":
        text = f"Requests without a credential are refused under {WHERE}."
        yield Draft(Kind.CLOSES, "credential_needed", text, prefix)
    yield from _users_without_row(prefix, None, new)
    yield from compare_cors(None, new.cors, prefix)
    yield from compare_headers(RouteHeaders(), new.headers, prefix)
    text = f"The route “{new.name}” begins to guard {WHERE}."
    yield Draft(Kind.CHANGES, "guarded", text, prefix, confirm=False)


def _users_without_row(prefix: str, old: RoutePolicy | None, new: RoutePolicy) -> Iterator[Draft]:
    if new.access != "application" and (old is None or old.access == "application"):
        text = f"Views under {WHERE} will see users without a row (clients and token subjects)."
        yield Draft(Kind.OPENS, "users_without_row", text, prefix)


def _compare_access(prefix: str, old: RoutePolicy, new: RoutePolicy) -> Iterator[Draft]:
    if old.access == "credentials" and new.access != "credentials":
        text = f"Requests need no credential any more under {WHERE}."
        yield Draft(Kind.OPENS, "credential_not_needed", text, prefix)
    elif new.access == "credentials" and old.access != "credentials":
        text = f"Requests without a credential are refused under {WHERE}."
        yield Draft(Kind.CLOSES, "credential_needed", text, prefix)
    elif new.access == old.access == "credentials":
        before, after = set(old.required_scopes), set(new.required_scopes)
        if before - after:
            scopes = listed(sorted(before - after))
            text = f"Credentials no longer need the scope {scopes} under {WHERE}."
            yield Draft(Kind.OPENS, "scopes_not_needed", text, prefix)
        if after - before:
            scopes = listed(sorted(after - before))
            text = f"Credentials without the scope {scopes} are refused under {WHERE}."
            yield Draft(Kind.CLOSES, "scopes_needed", text, prefix)
    yield from _users_without_row(prefix, old, new)
    if new.access == "application" and old.access != "application":
        text = f"Views under {WHERE} will no longer see clients and token subjects as users."
        yield Draft(Kind.CLOSES, "users_left_alone", text, prefix)


def _compare_content(prefix: str, old: RoutePolicy, new: RoutePolicy) -> Iterator[Draft]:
    yield from _compare_set(prefix, "methods", old.methods, new.methods)
    for noun, before, after in (
        ("request bodies of", old.accepts, new.accepts),
        ("requests that accept only", old.produces, new.produces),
    ):
        admitted, refused = _beyond(after, before), _beyond(before, after)
        if before and (admitted or not after):
            what = listed(admitted) if after else "any type"
            text = f"Newly admits {noun} {what} on {WHERE}."
            yield Draft(Kind.OPENS, "types_admitted", text, prefix)
        if after and (refused or not before):
            what = listed(refused) if before else "types that are not listed"
            text = f"Refuses {noun} {what} on {WHERE}."
            yield Draft(Kind.CLOSES, "types_refused", text, prefix)
    yield from _compare_body(prefix, old.max_body_bytes, new.max_body_bytes)


def _compare_set(
    prefix: str, noun: str, old: frozenset[str], new: frozenset[str]
) -> Iterator[Draft]:
    """Yield the difference of two lists of which the empty one admits everything."""
    if old and (new - old or not new):
        what = listed(sorted(new - old)) if new else "all that are sent"
        text = f"Newly admits the {noun} {what} on {WHERE}."
        yield Draft(Kind.OPENS, f"{noun}_admitted", text, prefix)
    if new and (old - new or not old):
        what = listed(sorted(old - new)) if old else f"other than {listed(sorted(new), 10)}"
        text = f"Refuses the {noun} {what} on {WHERE}."
        yield Draft(Kind.CLOSES, f"{noun}_refused", text, prefix)


def _beyond(types: Sequence[MediaType], others: Sequence[MediaType]) -> list[str]:
    """Return the types that none of ``others`` covers."""
    return [
        media.text
        for media in types
        if not any(
            covers(other, media) and set(other.parameters) <= set(media.parameters)
            for other in others
        )
    ]


def _compare_body(prefix: str, old: int | None, new: int | None) -> Iterator[Draft]:
    if old is not None and (new is None or new > old):
        what = "of any size" if new is None else f"of up to {new:,} bytes"
        text = f"Admits bodies {what} instead of {old:,} bytes on {WHERE}."
        yield Draft(Kind.OPENS, "bodies_admitted", text, prefix)
    elif new is not None and (old is None or new < old):
        text = f"Refuses bodies of more than {new:,} bytes on {WHERE}."
        yield Draft(Kind.CLOSES, "bodies_refused", text, prefix)


# -- limits ---------------------------------------------------------------------


def _compare_limits(place: Place, old: RoutePolicy, new: RoutePolicy) -> Iterator[Draft]:
    if new.cost < old.cost:
        text = f"A request to {WHERE} costs {new.cost} instead of {old.cost}."
        yield Draft(Kind.OPENS, "cost_lowered", text, place.prefix)
    elif new.cost > old.cost:
        text = f"A request to {WHERE} costs {new.cost} instead of {old.cost}."
        yield Draft(Kind.CHANGES, "cost_raised", text, place.prefix, confirm=False)
    yield from _compare_reservations(place, dict(old.reserve), dict(new.reserve))
    yield from _compare_callers(place, old, new)
    if old.pk != new.pk:
        yield from _lost_own_limits(place, old, new)


def _compare_reservations(
    place: Place, old: Mapping[str, int], new: Mapping[str, int]
) -> Iterator[Draft]:
    """Yield the units of which limits hold no longer, or newly; and other amounts."""
    for unit in sorted(old.keys() | new.keys()):
        before, after = old.get(unit), new.get(unit)
        if after is None:
            text = f"Limits of {unit} no longer hold on {WHERE}, which reserves none."
            yield Draft(Kind.OPENS, "reservation_removed", text, place.prefix)
        elif before is None:
            text = f"Limits of {unit} hold on {WHERE}; a request reserves {after:,}."
            yield Draft(Kind.CLOSES, "reservation_added", text, place.prefix)
        elif before != after:
            text = f"A request to {WHERE} reserves {after:,} {unit} instead of {before:,}."
            kind = Kind.OPENS if after < before else Kind.CHANGES
            yield Draft(kind, "reservation_changed", text, place.prefix, confirm=after < before)


def _compare_callers(place: Place, old: RoutePolicy, new: RoutePolicy) -> Iterator[Draft]:
    """Yield whether those without a credential are limited less: addresses, signed-in users."""
    before = (old.anonymous_tier, _tier_of_users(old))
    after = (new.anonymous_tier, _tier_of_users(new))
    subjects = ("Requests without a credential", "Signed-in users")
    for subject, old_tier, new_tier in zip(subjects, before, after, strict=True):
        if (old_tier, old.pk) == (new_tier, new.pk):
            continue
        loosened = find_loosened(
            _limits(place.before, old_tier, old), _limits(place.after, new_tier, new)
        )
        if loosened:
            text = f"{subject} lose {describe(loosened)} under {WHERE}."
            yield Draft(Kind.OPENS, "limits_lost", text, place.prefix)
    moved = (old.access == "application") != (new.access == "application")
    if moved and _limits(place.before, _tier_of_users(old), old):
        text = f"Signed-in users are counted otherwise under {WHERE} (by user, or by address)."
        yield Draft(Kind.OPENS, "users_counted_otherwise", text, place.prefix)


def _tier_of_users(route: RoutePolicy) -> object:
    """Return the tier of a signed-in user without a credential."""
    return route.user_tier if route.access == "application" else route.anonymous_tier


def _limits(snapshot: Snapshot, tier_pk: object, route: RoutePolicy) -> tuple[Limit, ...]:
    tier = snapshot.tiers.get(tier_pk)
    return () if tier is None else tier.limits_at(route.pk)


def _lost_own_limits(place: Place, old: RoutePolicy, new: RoutePolicy) -> Iterator[Draft]:
    """Yield the limits of the route before that count its requests no longer."""
    for pk, tier in place.before.tiers.items():
        if old.pk not in tier.by_route:
            continue
        loosened = find_loosened(tier.limits_at(old.pk), _limits(place.after, pk, new))
        if loosened:
            text = f"Callers of the tier “{tier.name}” lose {describe(loosened)} under {WHERE}."
            yield Draft(Kind.OPENS, "limits_lost", text, place.prefix)
