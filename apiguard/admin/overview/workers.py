"""The workers section of the overview: the policy that each worker enforces, from its heartbeats.

Reading the heartbeats from Redis is the only store access of an admin page. It
waits for half a second at most, so that a store that hangs does not block the page.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ... import conf
from ...models import PolicyState
from ...telemetry import worker_text
from ...telemetry.formatting import format_duration
from ...telemetry.worker_registry import registry_for
from ...telemetry.workers import TIMEOUT_SECONDS, Fleet, State, Worker, fleet
from ..display import DASH, badge

# "manage.py apiguard check" prints all of them.
WORKERS_SHOWN = 100

TONES = {
    State.FAILING: "bad",
    State.LAGGING: "bad",
    State.FOLLOWING: "warn",
    State.CURRENT: "good",
    State.IDLE: "quiet",
}


@dataclass(frozen=True, slots=True)
class ShownWorker:
    """One row of a table."""

    process: str
    state: SafeString
    what: str
    what_to_do: str
    revision: str
    delay: str
    heard: str


@dataclass(frozen=True, slots=True)
class WorkersStatus:
    """A summary with its badge, the workers that need attention, and all workers."""

    fleet: Fleet
    mark: SafeString
    summary: str
    wrong: list[ShownWorker]
    differing: list[str]
    all: list[ShownWorker]
    left_out: int


def workers_status(truth: PolicyState) -> WorkersStatus:
    """Read the heartbeats; a query where workers lag, and half a second at most."""
    registry = registry_for(conf.current())
    seen = fleet(registry, is_worker=True, truth=truth, timeout=TIMEOUT_SECONDS)
    return WorkersStatus(
        fleet=seen,
        mark=_mark(seen),
        summary=worker_text.summary(seen),
        wrong=[_shown(worker) for worker in seen.wrong[:WORKERS_SHOWN]],
        differing=[worker_text.difference(worker) for worker in seen.differing[:WORKERS_SHOWN]],
        all=[_shown(worker) for worker in seen.workers[:WORKERS_SHOWN]],
        left_out=max(0, len(seen.workers) - WORKERS_SHOWN),
    )


def _mark(seen: Fleet) -> SafeString:
    wrong = len(seen.wrong)
    if wrong:
        return badge(ngettext("%d lags", "%d lag", wrong) % wrong, "bad")
    if seen.differing:
        return badge(_("not alike"), "warn")
    if seen.unseen:
        return badge(_("not seen"), "quiet" if seen.unseen == "memory" else "warn")
    if seen.of(State.FOLLOWING):
        return badge(_("following"), "warn")
    return badge(_("in step"), "good")


def _shown(worker: Worker) -> ShownWorker:
    heartbeat, now = worker.heartbeat, timezone.now()
    return ShownWorker(
        process=worker.process,
        state=badge(_(worker.state.value), TONES[worker.state]),
        what=worker_text.sentence(worker, now),
        what_to_do=worker_text.remedy(worker, now),
        revision=DASH if heartbeat.revision is None else str(heartbeat.revision),
        delay=DASH if heartbeat.delay is None else format_duration(heartbeat.delay),
        heard=format_duration(worker.age),
    )
