"""The first line of the overview: is all well, and if not, what is the worst?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ...models import Route
from ...policy.snapshot import RowProblem, Snapshot
from ...telemetry.workers import Fleet
from ..base import problems_of
from ..display import model_label
from .counter import CounterStatus


@dataclass(frozen=True, slots=True)
class StatusLine:
    """``tone`` is "good", "warn" or "bad"."""

    tone: str
    text: str


def status_line(
    snapshot: Snapshot | None,
    routes: Sequence[Route],
    warnings: Sequence[RowProblem],
    fleet: Fleet,
    counter: CounterStatus,
) -> StatusLine:
    """Return one line: the worst that is known, or that all is well."""
    if snapshot is None:
        text = _(
            "The database does not answer, so policy cannot be read: requests are answered 503."
        )
        return StatusLine("bad", text)
    broken = [route for route in routes if route.mode != Route.Mode.OFF]
    broken = [route for route in broken if problems_of(route, snapshot)]
    for found in (
        _refusing([route for route in broken if route.mode != Route.Mode.OBSERVE], snapshot),
        _workers(fleet),
        _counter(counter),
        _unjudged([route for route in broken if route.mode == Route.Mode.OBSERVE], snapshot),
        _rows(snapshot),
    ):
        if found is not None:
            return found
    if not routes:
        return StatusLine("warn", _("Nothing is guarded: there are no routes."))
    where = _where(snapshot, fleet)
    if warnings:
        text = ngettext("%d row can hardly be meant", "%d rows can hardly be meant", len(warnings))
        return StatusLine("warn", f"{where[:1].upper()}{where[1:]}. {text % len(warnings)}.")
    return StatusLine("good", _("All well: %s.") % where)


def _refusing(routes: Sequence[Route], snapshot: Snapshot) -> StatusLine | None:
    if not routes:
        return None
    text = ngettext(
        "%(count)d route answers 503 because %(why)s",
        "%(count)d routes answer 503 because %(why)s",
        len(routes),
    )
    return StatusLine("bad", text % {"count": len(routes), "why": _why(routes[0], snapshot)})


def _unjudged(routes: Sequence[Route], snapshot: Snapshot) -> StatusLine | None:
    if not routes:
        return None
    text = ngettext(
        "%(count)d route that observes would answer 503 if it were enforced, because %(why)s",
        "%(count)d routes that observe would answer 503 if they were enforced, because %(why)s",
        len(routes),
    )
    return StatusLine("warn", text % {"count": len(routes), "why": _why(routes[0], snapshot)})


def _why(route: Route, snapshot: Snapshot) -> str:
    policy = snapshot.routes.find(route.path_prefix)
    causes = policy.broken if policy is not None and policy.pk == route.pk else ()
    if not causes:
        return str(problems_of(route, snapshot)[0])
    cause = causes[0]
    return f"{model_label(cause.model)} “{cause.name}”: {cause.error.reason}"


def _workers(fleet: Fleet) -> StatusLine | None:
    wrong = len(fleet.wrong)
    if not wrong:
        return None
    text = ngettext(
        "%(wrong)d of %(all)d worker does not enforce revision %(revision)d",
        "%(wrong)d of %(all)d workers do not enforce revision %(revision)d",
        len(fleet.workers),
    )
    values = {"wrong": wrong, "all": len(fleet.workers), "revision": fleet.revision}
    return StatusLine("bad", f"{text % values}.")


def _counter(counter: CounterStatus) -> StatusLine | None:
    lasting = [outage for outage in counter.outages if outage.lasts]
    if not lasting:
        return None
    text = _("The counter's Redis does not answer %(process)s: %(when)s.")
    return StatusLine("bad", text % {"process": lasting[0].process, "when": lasting[0].when})


def _rows(snapshot: Snapshot) -> StatusLine | None:
    count = len(snapshot.problems)
    if not count:
        return None
    text = ngettext(
        "%d row has a problem and is not in force; the others are.",
        "%d rows have problems and are not in force; the others are.",
        count,
    )
    return StatusLine("warn", text % count)


def _where(snapshot: Snapshot, fleet: Fleet) -> str:
    active = fleet.active
    if fleet.unseen or not active:
        return _("revision %d is in force here; other workers are not seen") % snapshot.revision
    values = {
        "revision": fleet.revision,
        "newest": sum(worker.is_newest for worker in active),
        "all": len(active),
    }
    text = ngettext(
        "revision %(revision)d in %(newest)d of %(all)d worker",
        "revision %(revision)d in %(newest)d of %(all)d workers",
        len(active),
    )
    return text % values
