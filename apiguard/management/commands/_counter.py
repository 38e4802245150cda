"""``apiguard check``, where limits are counted: does the store count, may it forget, was it away.

The probe uses the connection that requests use, with its timeouts, and runs the same script.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from redis.cluster import RedisCluster
from redis.exceptions import RedisError, ResponseError

from ... import conf
from ...counters.connection import CLUSTER, cluster_host, connector, is_cluster
from ...counters.redis import probe_store
from ...models import CounterFault, CounterOutage, UntrustedProxy
from ...models.state import write_alias
from ...telemetry import proxies
from ._console import moment

# The one policy under which a full Redis refuses to write instead of forgetting counts.
KEEPS_COUNTS = "noeviction"

CLUSTER_TIMEOUT_SECONDS = 1.0
OUTAGES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Store:
    """What a probe of the store found.

    ``answers`` and ``counts`` are None for memory, which is not probed: a read-only
    replica answers, and refuses to count. ``policies`` are the ``maxmemory-policy`` of
    its servers, empty where they refuse CONFIG.
    """

    where: str
    answers: bool | None = None
    counts: bool | None = None
    error: str = ""
    policies: tuple[str, ...] = ()

    @property
    def evicts(self) -> bool | None:
        """Whether it may forget counts when it is full; None: unknown."""
        return any(name != KEEPS_COUNTS for name in self.policies) if self.policies else None

    @property
    def problems(self) -> list[str]:
        """What is wrong with it, with what to do."""
        if self.answers is False:
            return [f"The counter's store does not answer: {self.error}."]
        if self.counts is False:
            return [f"The counter's store refuses to count: {self.error}."]
        if self.evicts:
            is_now = f"maxmemory-policy is {', '.join(self.policies)}"
            return [
                f"The counter's store forgets counts when it is full: {is_now}, not {KEEPS_COUNTS}."
            ]
        return []


@dataclass(frozen=True, slots=True)
class Report:
    """The store now, and what went wrong with it in the last 24 hours."""

    store: Store
    now: datetime
    open: list[CounterOutage] = field(default_factory=list)
    ended: list[CounterOutage] = field(default_factory=list)
    faults: list[CounterFault] = field(default_factory=list)
    proxies: list[UntrustedProxy] = field(default_factory=list)

    def data(self) -> dict[str, Any]:
        """Return the members "counter" and "proxies" of the JSON answer."""
        store = self.store
        outages = [*self.open, *self.ended]
        return {
            "counter": {
                "where": store.where,
                "answers": store.answers,
                "counts": store.counts,
                "maxmemory_policy": ", ".join(store.policies) or None,
                "evicts": store.evicts,
                "problems": store.problems,
                "outages": [_outage(row, is_open=row in self.open) for row in outages],
                "faults": [_fault(row) for row in self.faults],
            },
            "proxies": [_proxy(row) for row in self.proxies],
        }

    def lines(self) -> Iterator[str]:
        """Yield the same for people."""
        yield f"Counter: {_summary(self.store)}"
        yield from (f"    {problem}" for problem in self.store.problems)
        for row in self.open:
            yield f"    Away since {moment(row.began_at)} in {row.process}."
        for row in self.ended:
            yield (
                f"    Was away from {moment(row.began_at)} to {moment(row.ended_at or row.seen_at)}"
                f" in {row.process}."
            )
        for fault in self.faults:
            yield (
                f"    {fault.get_kind_display().capitalize()}: {fault.name}. {fault.count:,} "
                f"requests were not counted there, the last one {moment(fault.last_seen)}."
            )
        for proxy in self.proxies:
            yield (
                f"Proxy {proxy.address}: its forwarding headers are not believed "
                f"(last seen {moment(proxy.last_seen)})."
            )
            yield "    If it is yours, add it to APIGUARD['TRUSTED_PROXIES']."


def report() -> Report:
    """Probe the store, and read what was recorded."""
    now = timezone.now()
    day_ago = now - timedelta(days=1)
    outages = CounterOutage.objects.using(write_alias())
    return Report(
        store(conf.current().counter, conf.current().counter_prefix),
        now,
        list(outages.open(now)[:OUTAGES_SHOWN]),
        list(outages.ended_since(day_ago, now)[:OUTAGES_SHOWN]),
        list(CounterFault.objects.using(write_alias()).since(day_ago)[:OUTAGES_SHOWN]),
        proxies.untrusted_since(day_ago),
    )


def store(name: str, prefix: str = "apiguard") -> Store:
    """Probe the store that the setting ``COUNTER`` names; never raises."""
    if name == "memory":
        return Store(name)
    where, everywhere = name, {}
    if is_cluster(name):
        where = f"{CLUSTER}{cluster_host(name)}"
        everywhere = {"target_nodes": RedisCluster.PRIMARIES}
    try:
        probe_store(name, prefix, CLUSTER_TIMEOUT_SECONDS)
    except Exception as error:  # noqa: BLE001 - whatever connecting raises means the same
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        answers = isinstance(cause, ResponseError)
        return Store(where, answers=answers, counts=False, error=_words(cause))
    try:
        client = connector(name, CLUSTER_TIMEOUT_SECONDS)()
        reply = client.config_get("maxmemory-policy", **everywhere)
    except (RedisError, OSError):  # Managed servers refuse CONFIG.
        return Store(where, answers=True, counts=True)
    return Store(where, answers=True, counts=True, policies=tuple(sorted(set(_values(reply)))))


def _values(reply: Any) -> Iterable[str]:
    """Yield all policies in a reply: of one server, or of every node of a cluster."""
    if isinstance(reply, Mapping):
        for value in reply.values():
            yield from _values(value)
    elif reply:
        yield reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)


def _words(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__


def _summary(store: Store) -> str:
    if store.answers is None:
        return "the memory of each process."
    if not store.answers:
        return f"{store.where}, does not answer."
    if not store.counts:
        return f"{store.where}, refuses to count."
    policies = ", ".join(store.policies) or "unknown"
    return f"{store.where}, answers; maxmemory-policy: {policies}."


def _outage(row: CounterOutage, *, is_open: bool) -> dict[str, Any]:
    return {
        "process": row.process,
        "began_at": moment(row.began_at),
        "seen_at": moment(row.seen_at),
        "ended_at": moment(row.ended_at),
        "open": is_open,
    }


def _fault(row: CounterFault) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "name": row.name,
        "count": row.count,
        "first_seen": moment(row.first_seen),
        "last_seen": moment(row.last_seen),
    }


def _proxy(row: UntrustedProxy) -> dict[str, Any]:
    return {
        "address": row.address,
        "first_seen": moment(row.first_seen),
        "last_seen": moment(row.last_seen),
    }
