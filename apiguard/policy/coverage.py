"""Which URL pattern is guarded by which route, so that a gap is seen before an attacker sees it.

A route that only observes counts as a guard: it judges every request. A route that is
off does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from .. import conf
from ..models import Route
from ..models.state import write_alias
from ..models.url_patterns import UrlPattern, read_urlconf
from ..rules.coverage import find_guards
from ..rules.paths import PrefixTable


class State(StrEnum):
    """Whether routes guard the paths of a pattern; those that need a look first."""

    UNGUARDED = "unguarded"
    PARTLY = "partly"
    """Routes guard some of its paths, and none guards the others."""
    GUARDED = "guarded"
    EXEMPT = "exempt"
    """``EXEMPT_PATHS`` has it, so no route can guard it."""


@dataclass(frozen=True, slots=True)
class PatternCoverage:
    """One pattern, in the languages in which the same routes guard it."""

    pattern: UrlPattern
    state: State
    route: Route | None
    """The route that guards it, unless a longer prefix does."""
    longer: tuple[Route, ...]
    """Routes whose longer prefixes may guard some of its paths."""
    switched_off: Route | None
    """The route that would guard an unguarded pattern if it were not off."""
    translations: tuple[str, ...]
    """The pattern in the other languages."""

    @property
    def route_name(self) -> str:
        """The route that decides, as people read it; "" where none does."""
        if self.route is not None:
            return f"{self.route.name} ({self.route.mode})"
        return f"{self.switched_off.name} (off)" if self.switched_off is not None else ""


@dataclass(frozen=True)
class Coverage:
    """All patterns of the URLconf, the unguarded ones first."""

    patterns: tuple[PatternCoverage, ...]

    @cached_property
    def gaps(self) -> list[PatternCoverage]:
        """The patterns with a path that no route guards."""
        return [each for each in self.patterns if each.state in (State.UNGUARDED, State.PARTLY)]

    def folded(self) -> list[tuple[PatternCoverage, ...]]:
        """Return each pattern by itself, and those of an admin site with one answer together."""
        by_site: dict[tuple[object, ...], list[PatternCoverage]] = {}
        for each in self.patterns:
            site = each.pattern.admin_site
            alone = () if site else (each.pattern.identity, each.pattern.text)
            by_site.setdefault((each.state, site, each.route, *alone), []).append(each)
        return [tuple(group) for group in by_site.values()]


def read_coverage(routes: Sequence[Route] | None = None) -> Coverage | None:
    """Return the coverage of the project's URLconf; ``None`` where there is none.

    Args:
        routes: all rows; they are read if they are not given, in one query.
    """
    urlconf = read_urlconf()
    if urlconf is None:
        return None
    rows = list(Route.objects.using(write_alias()).all()) if routes is None else routes
    judge = _Judge(rows)
    by_answer: dict[tuple[object, ...], list[UrlPattern]] = {}
    for pattern in urlconf.patterns:
        by_answer.setdefault((pattern.identity, *judge.answer(pattern)), []).append(pattern)
    found = [judge.coverage(patterns) for patterns in by_answer.values()]
    order = list(State)
    found.sort(
        key=lambda each: (
            order.index(each.state),
            each.pattern.admin_site != "",
            each.pattern.text,
        )
    )
    return Coverage(tuple(found))


class _Judge:
    """The routes that are not off, and those that are."""

    def __init__(self, routes: Iterable[Route]) -> None:
        rows = {route.path_prefix: route for route in routes}
        on = {prefix: row for prefix, row in rows.items() if row.mode != Route.Mode.OFF}
        self._on, self._prefixes = PrefixTable(on), sorted(on)
        self._all = PrefixTable(rows)
        self._exempt = conf.current().exempt_paths

    def answer(self, pattern: UrlPattern) -> tuple[State, Route | None, tuple[Route, ...]]:
        if self._exempt.find(pattern.fixed.anchor):
            return State.EXEMPT, None, ()
        guards = find_guards(pattern.fixed, self._on, self._prefixes)
        if guards.everywhere is not None:
            return State.GUARDED, guards.everywhere, guards.in_part
        return State.PARTLY if guards.in_part else State.UNGUARDED, None, guards.in_part

    def coverage(self, patterns: Sequence[UrlPattern]) -> PatternCoverage:
        first, *others = patterns
        state, route, longer = self.answer(first)
        return PatternCoverage(
            pattern=first,
            state=state,
            route=route,
            longer=longer,
            switched_off=self._all.find(first.fixed.anchor) if route is None else None,
            translations=tuple(pattern.text for pattern in others),
        )
