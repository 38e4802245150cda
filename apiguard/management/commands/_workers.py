"""``apiguard check``, who runs what: every worker that left word, and which of them lags."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from ... import conf
from ...telemetry import worker_text
from ...telemetry.worker_registry import registry_for
from ...telemetry.workers import Fleet, Worker, fleet


@dataclass(frozen=True, slots=True)
class Report:
    """All workers as they stand to the policy in the database."""

    fleet: Fleet
    now: datetime

    def data(self) -> dict[str, Any]:
        """Return the member "workers" of the JSON answer."""
        seen = self.fleet
        return {
            "workers": {
                "unseen": seen.unseen or None,
                "revision": seen.revision,
                "slowest": seen.slowest,
                "problems": self.problems,
                "workers": [_worker(worker) for worker in seen.workers],
            }
        }

    def lines(self) -> Iterator[str]:
        """Yield the same for people."""
        yield f"Workers: {worker_text.summary(self.fleet)}"
        for worker in self.fleet.wrong:
            yield f"    {worker_text.sentence(worker, self.now)}"
            yield f"    {worker_text.remedy(worker, self.now)}"
        yield from (f"    {worker_text.difference(worker)}" for worker in self.fleet.differing)

    @property
    def problems(self) -> list[str]:
        """One sentence for each worker that needs attention."""
        return [worker_text.sentence(worker, self.now) for worker in self.fleet.wrong]


def report() -> Report:
    """Ask where workers leave word, with the timeouts of its client; never raises for that."""
    # This process answers no requests: it is not one of them.
    return Report(fleet(registry_for(conf.current()), is_worker=False), timezone.now())


def _worker(worker: Worker) -> dict[str, Any]:
    """Return all in seconds; ``heard`` ago the worker sent the rest."""
    beat = worker.heartbeat
    return {
        "process": worker.process,
        "state": worker.state.value,
        "heard": round(worker.age, 3),
        "revision": beat.revision,
        "looked": beat.refreshed,
        "delay": beat.delay,
        "failing": beat.failing,
        "refreshing_for": beat.refreshing_for,
        "error": beat.error,
        "problems": beat.problems,
    }
