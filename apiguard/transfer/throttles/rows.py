"""Rates of other packages -> the limits of tiers, all in shadow mode.

What is there already is left as it is, so that the import can be run again. A rate of some
views becomes a limit of the routes that cover these views and no others; no route is made,
because a new route would take requests away from the one that has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.db import transaction
from django.utils.text import slugify

from ...errors import PolicyError
from ...models import Limit, Route, Tier
from ...models.state import write_alias
from ...models.url_patterns import UrlPattern
from ...rules.paths import PrefixTable, normalise_prefix
from ...rules.rates import Rate, format_rate
from .found import Counted, Reading, Throttle, texts

TIER = "imported"
NOTE = "Imported from rates of other packages."
_WHO = {Counted.ANONYMOUS: "anonymous", Counted.USERS: "users"}


@dataclass(slots=True)
class Result:
    """One line for each row that was made, or was there already; the tiers that were written."""

    made: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    tiers: list[str] = field(default_factory=list)


def write(
    reading: Reading,
    patterns: Sequence[UrlPattern],
    base: str = TIER,
    *,
    dry_run: bool = False,
) -> Result:
    """Make tiers and limits of what was read, in one transaction; what has no place is refused.

    Args:
        patterns: all URL patterns of the project.
        base: what the slugs of the tiers begin with, such as "imported" of "imported-users".

    Raises:
        ValidationError: a row would not be valid, such as a slug with spaces.
    """
    using = write_alias()
    with transaction.atomic(using=using):
        writer = _Writer(base, _Places(patterns), reading, Result())
        for throttle in reading.throttles:
            writer.write(throttle)
        transaction.set_rollback(dry_run, using=using)
    return writer.result


class _Places:
    """Which routes count exactly the requests of a rate."""

    def __init__(self, patterns: Sequence[UrlPattern]) -> None:
        rows = Route.objects.using(write_alias()).exclude(mode=Route.Mode.OFF)
        self._routes = {route.path_prefix: route for route in rows}
        table = PrefixTable(self._routes)
        self._guard = {pattern: table.find(pattern.fixed.anchor) for pattern in patterns}

    def of(self, throttle: Throttle) -> list[Route | None]:
        """Return the routes of a rate; [None] if it counts everywhere.

        Raises:
            PolicyError: no route covers just these requests.
        """
        if throttle.prefix is not None:
            prefix = normalise_prefix(throttle.prefix)
            if prefix not in self._routes:
                raise _no_route(prefix)
            return [self._routes[prefix]]
        if throttle.patterns is None:
            return [None]
        routes = {self._guard[pattern] for pattern in throttle.patterns}
        others = [
            pattern
            for pattern, route in self._guard.items()
            if route in routes and pattern not in throttle.patterns
        ]
        if None in routes or others:
            raise _no_route(*sorted({_prefix_of(each) for each in throttle.patterns}))
        return [each for each in self._routes.values() if each in routes]


def _prefix_of(pattern: UrlPattern) -> str:
    anchor = pattern.fixed.anchor
    return anchor if anchor.endswith("/") else f"{anchor}/"


def _no_route(*prefixes: str) -> PolicyError:
    return PolicyError(
        "no_route",
        prefixes,
        "there is no route for just these requests",
        f"make a route for {', '.join(prefixes)} and import again",
    )


@dataclass(slots=True)
class _Writer:
    base: str
    places: _Places
    reading: Reading
    result: Result

    def write(self, throttle: Throttle) -> None:
        """Make the limits of one rate, or add a line to what was refused."""
        try:
            rate = Rate(throttle.amount, throttle.seconds)
            routes = self.places.of(throttle)
            self._check_methods(throttle, routes)
        except PolicyError as error:
            where = f" ({texts(throttle.patterns)})" if throttle.patterns else ""
            hint = f"; {error.hint}" if error.hint else ""
            reason = error.reason.rstrip(".")
            self.reading.refused.append(f"{throttle.label}{where}: {reason}{hint}")
            return
        self.reading.notices += [f"{throttle.label}: {notice}" for notice in throttle.notices]
        if len(routes) > 1:
            self.reading.notices.append(
                f"{throttle.label} counts all its views together. "
                "The limits count each route by itself"
            )
        for who in self._tiers(throttle):
            tier = self._tier(who)
            for route in routes:
                self._limit(tier, throttle, rate, route)

    def _tiers(self, throttle: Throttle) -> Iterable[str]:
        if throttle.tier:
            return [slugify(throttle.tier)]
        return [name for who, name in _WHO.items() if who in throttle.counted]

    def _check_methods(self, throttle: Throttle, routes: Iterable[Route | None]) -> None:
        for route in routes if throttle.methods else ():
            listed = set(route.methods) if route is not None else set()
            if not listed or not listed <= throttle.methods:
                raise PolicyError(
                    "methods",
                    sorted(throttle.methods),
                    f"it counts {', '.join(sorted(throttle.methods))} alone",
                    "a limit counts every method that its route permits",
                )

    def _tier(self, who: str) -> Tier:
        slug = f"{self.base}-{who}"
        found = Tier.objects.using(write_alias()).filter(slug=slug).first()
        if slug not in self.result.tiers:
            self.result.tiers.append(slug)
        if found is not None:
            return found
        tier = Tier(slug=slug, name=slug.replace("-", " ").capitalize())
        tier.full_clean()
        tier.save(using=write_alias())
        self.result.made.append(f"tier {slug!r}")
        return tier

    def _limit(self, tier: Tier, throttle: Throttle, rate: Rate, route: Route | None) -> None:
        name = _limit_name(throttle, rate, route)
        where = "" if route is None else f" on route {route.name!r}"
        limits = Limit.objects.using(write_alias())
        found = limits.filter(tier=tier, name=name).first()
        if found is not None:
            self.result.left.append(f"limit {name!r} of tier {tier.slug!r}: {found.rate}")
            return
        limit = Limit(
            tier=tier,
            name=name,
            amount=rate.amount,
            period=rate.period,
            route=route,
            mode=Limit.Mode.SHADOW,
        )
        limit.full_clean()
        limit.save(using=write_alias())
        self.result.made.append(
            f"limit {name!r} of tier {tier.slug!r}: {limit.rate}{where} ({throttle.label})"
        )


def _limit_name(throttle: Throttle, rate: Rate, route: Route | None) -> str:
    """The rate's own name, with the route's and the period: one view may have two rates."""
    parts = (throttle.name, "" if route is None else route.name)
    words = [slugify(part.replace("/", "-").replace("_", "-")) for part in parts]
    text = "-".join(filter(None, dict.fromkeys(words))) or "rate"
    period = slugify(format_rate(rate).partition(" ")[2])
    return f"{text[: 63 - len(period)].strip('-')}-{period}"
