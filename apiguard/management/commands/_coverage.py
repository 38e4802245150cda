"""``apiguard coverage``: which URL pattern is guarded by which route, the unguarded first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ... import conf
from ...policy.coverage import PatternCoverage, State, read_coverage
from ._console import Console, Options, SubCommand, found, used_wrongly


def run(console: Console, options: Options) -> None:
    """Print every pattern; exit status 1 if a path of one is not guarded."""
    coverage = read_coverage()
    if coverage is None:
        raise used_wrongly("The project has no URLconf that can be loaded: see ROOT_URLCONF.")
    if not conf.current().enabled:
        console.note("APIGUARD['ENABLED'] is False: the middleware guards nothing here.")
    gaps, total = len(coverage.gaps), len(coverage.patterns)
    data = {
        "total": total,
        "unguarded": gaps,
        "patterns": [_as_dict(each) for each in coverage.patterns],
    }
    lines = [line for group in coverage.folded() for line in _lines(group)]
    is_whole = "Every URL pattern is guarded, or exempt by EXEMPT_PATHS."
    console.answer(data, lines if gaps else [*lines, is_whole])
    if gaps:
        raise found(f"{gaps} of {total} URL patterns have paths that no route guards.")


def _as_dict(each: PatternCoverage) -> dict[str, Any]:
    off = each.switched_off
    return {
        "pattern": each.pattern.text,
        "translations": list(each.translations),
        "name": each.pattern.name,
        "view": each.pattern.view,
        "state": each.state.value,
        "route": None if each.route is None else each.route.name,
        "mode": None if each.route is None else each.route.mode,
        "longer_prefixes": [route.path_prefix for route in each.longer],
        "switched_off": None if off is None else off.name,
        "admin_site": each.pattern.admin_site or None,
    }


def _lines(group: tuple[PatternCoverage, ...]) -> Iterator[str]:
    first = group[0]
    is_site = first.pattern.admin_site != "" and len(group) > 1
    text = first.pattern.admin_site if is_site else first.pattern.text
    notes = [f"{len(group)} patterns of an admin site"] if is_site else []
    if first.translations:
        notes.append(f"also {', '.join(first.translations[:2])}")
    if len(first.translations) > 2:
        notes.append(f"and {len(first.translations) - 2} more languages")
    if first.longer and first.state is State.PARTLY:
        notes.append(f"guarded only below {', '.join(r.path_prefix for r in first.longer[:5])}")
    elif first.longer:
        notes.append(f"longer: {', '.join(r.path_prefix for r in first.longer[:5])}")
    columns = f"{first.state:<10} {text:<40} {first.route_name or '-'}"
    yield columns + (f"; {'; '.join(notes)}" if notes else "")


COMMAND = SubCommand("coverage", "Say which URL pattern is guarded by which route.", run)
