"""Prometheus metrics of what the guard does; kept only where the setting ``METRICS`` is on.

Labels are names of routes, outcomes and fixed words: never a client, a key, an address
or a path. With ``PROMETHEUS_MULTIPROC_DIR`` in the environment prometheus-client keeps the
numbers in files, and the page adds up those of all processes.

Counters are written by requests. Gauges are set by a thread some seconds later, because
counting the keyring takes a while, and by the page for the process that serves it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, get_args

from ..counters.reporting import FailureKind, Source
from .background_signals import background_signals
from .buffer import buffer
from .periodic import PeriodicThread
from .usage import usage

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter

# Seconds that the guard adds to a request.
BUCKETS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005),
    *(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
)
# Routes are rows, so there are few; a bound all the same, over the life of a process.
MAX_ROUTES = 1_000
OTHERS = "(others)"
GAUGES_EVERY_SECONDS = 5.0
WAKE_EVERY_SECONDS = 1.0


class PolicyGauges(NamedTuple):
    """What is shown of the policy that this process holds; ``None``: not known."""

    revision: int | None
    refreshed_at: float | None
    keyring_size: int | None


def _nothing() -> PolicyGauges:
    return PolicyGauges(None, None, None)


# Set where policy is known: telemetry does not import it.
read_policy: Callable[[], PolicyGauges] = _nothing


def dropped() -> dict[str, int]:
    """How many entries of telemetry this process has dropped, by what they were."""
    return {
        "counts": buffer.dropped,
        "refusals": buffer.refusals.dropped,
        "usage": usage.dropped,
        "signals": background_signals.dropped,
    }


class Metrics:
    """The metrics of this process.

    Args:
        registry: where they are registered; ``None``: the default one of prometheus-client.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        from prometheus_client import REGISTRY, Counter, Gauge, Histogram

        registry = registry or REGISTRY
        by_outcome = ("route", "outcome", "enforced")
        self._requests = Counter(
            "apiguard_requests", "Requests on routes", by_outcome, registry=registry
        )
        self._refusals = Counter(
            "apiguard_refusals", "Refused requests", by_outcome, registry=registry
        )
        self._seconds = Histogram(
            "apiguard_guard_seconds",
            "Seconds that the middleware added to a request",
            buckets=BUCKETS,
            registry=registry,
        )
        decisions = Counter(
            "apiguard_limit_decisions",
            "Checks of limits by what decided them",
            ("source",),
            registry=registry,
        )
        failures = Counter(
            "apiguard_counter_failures",
            "Checks of limits for which Redis could not be used",
            ("kind",),
            registry=registry,
        )
        self._dropped = Counter(
            "apiguard_telemetry_dropped",
            "Entries of telemetry that were dropped",
            ("kind",),
            registry=registry,
        )
        self._revision = Gauge(
            "apiguard_policy_revision",
            "Revision of the policy in force",
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self._refresh_age = Gauge(
            "apiguard_policy_refresh_age_seconds",
            "Seconds since policy was last compared with the database",
            multiprocess_mode="livemax",
            registry=registry,
        )
        self._keyring = Gauge(
            "apiguard_keyring_keys",
            "Keys that a process holds in memory",
            multiprocess_mode="livemax",
            registry=registry,
        )
        # All of them are there from the beginning, with zero.
        self._by_source = {source: decisions.labels(source) for source in get_args(Source)}
        self._by_kind = {kind: failures.labels(kind) for kind in get_args(FailureKind)}
        self._children: dict[tuple[Counter, str, str, bool], Counter] = {}
        self._routes: set[str] = set()
        self._thread = PeriodicThread(
            "apiguard-metrics", self.set_gauges, every=lambda: GAUGES_EVERY_SECONDS
        )
        self._start_over()
        os.register_at_fork(after_in_child=self._start_over)

    def _start_over(self) -> None:
        self._thread.forget()
        # The page and the thread may set them at once.
        self._lock = threading.Lock()
        self._dropped_before = dropped()
        self._wake_at = 0.0

    # -- called by requests -------------------------------------------------------

    def count_request(self, route: str, outcome: str, enforced: bool) -> None:
        """Count a request that a route decided."""
        self._count_outcome(self._requests, route, outcome, enforced)
        now = time.monotonic()
        if now >= self._wake_at:
            self._wake_at = now + WAKE_EVERY_SECONDS
            self._thread.wake()

    def count_refusal(self, route: str, outcome: str, enforced: bool) -> None:
        """Count a refusal, or what would have been one; ``route`` is "" where none decided."""
        self._count_outcome(self._refusals, route, outcome, enforced)

    def observe_guard(self, seconds: float) -> None:
        """Add the seconds that the middleware added to a request."""
        self._seconds.observe(seconds)

    def count_decision(self, source: Source) -> None:
        """Count a check of limits by what decided it."""
        self._by_source[source].inc()

    def count_failure(self, kind: FailureKind) -> None:
        """Count a check of limits for which the store could not be used."""
        self._by_kind[kind].inc()

    def _count_outcome(self, counter: Counter, route: str, outcome: str, enforced: bool) -> None:
        # labels() of prometheus-client costs more than everything else here.
        key = (counter, route, outcome, enforced)
        child = self._children.get(key)
        if child is None:
            child = counter.labels(self._bounded(route), outcome, str(enforced).lower())
            if route in self._routes:
                self._children[key] = child
        child.inc()

    def _bounded(self, route: str) -> str:
        if route not in self._routes:
            if len(self._routes) >= MAX_ROUTES:
                return OTHERS
            self._routes.add(route)
        return route

    # -- away from requests -------------------------------------------------------

    def set_gauges(self) -> None:
        """Set what is read from the state of this process."""
        with self._lock:
            self._set_gauges()

    def _set_gauges(self) -> None:
        policy = read_policy()
        if policy.revision is not None:
            self._revision.set(policy.revision)
        if policy.refreshed_at is not None:
            self._refresh_age.set(max(0.0, time.time() - policy.refreshed_at))
        if policy.keyring_size is not None:
            self._keyring.set(policy.keyring_size)
        now = dropped()
        for kind, count in now.items():
            # Tests start over with less than there was.
            self._dropped.labels(kind).inc(max(0, count - self._dropped_before[kind]))
        self._dropped_before = now


@lru_cache(maxsize=1)
def metrics() -> Metrics:
    """The metrics of this process; prometheus-client is imported with the first call."""
    return Metrics()


def exposition(accept: str) -> tuple[bytes, str]:
    """The metrics of all processes as Prometheus reads them, and their media type."""
    from prometheus_client import REGISTRY, CollectorRegistry
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.multiprocess import MultiProcessCollector

    metrics().set_gauges()
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    encode, media_type = choose_encoder(accept)
    return encode(registry), media_type
