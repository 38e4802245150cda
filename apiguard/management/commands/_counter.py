"""``apiguard check``, where limits are counted: does it answer, may it forget, was it away.

The store is asked through the connection that requests use, with its timeouts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from redis.cluster import RedisCluster
from redis.exceptions import RedisError

from ... import conf
from ...counters.connect import CLUSTER, cluster_host, connector, is_cluster
from ...models import CounterOutage, UntrustedProxy
from ...models.state import write_alias
from ...telemetry import proxies
from ._console import moment

# The one policy under which a full Redis refuses to write instead of forgetting counts.
KEEPS_COUNTS = "noeviction"

CLUSTER_TIMEOUT_SECONDS = 1.0
OUTAGES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Store:
    """What a store said when it was asked.

    ``answers`` is None for memory, which is not asked; ``policies`` are the
    ``maxmemory-policy`` of its servers, empty where they do not tell.
    """

    where: str
    answers: bool | None = None
    error: str = ""
    policies: tuple[str, ...] = ()

    @property
    def evicts(self) -> bool | None:
        """Whether it may forget counts when it is full; None: it does not tell."""
        return any(name != KEEPS_COUNTS for name in self.policies) if self.policies else None

    @property
    def problems(self) -> list[str]:
        """What is wrong with it, with what to do."""
        if self.answers is False:
            return [f"The counter's store does not answer: {self.error}."]
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
    proxies: list[UntrustedProxy] = field(default_factory=list)

    def data(self) -> dict[str, Any]:
        """The members "counter" and "proxies" of the JSON answer."""
        store = self.store
        outages = [*self.open, *self.ended]
        return {
            "counter": {
                "where": store.where,
                "answers": store.answers,
                "maxmemory_policy": ", ".join(store.policies) or None,
                "evicts": store.evicts,
                "problems": store.problems,
                "outages": [_outage(row, is_open=row in self.open) for row in outages],
            },
            "proxies": [_proxy(row) for row in self.proxies],
        }

    def lines(self) -> Iterator[str]:
        """The same for people."""
        yield f"Counter: {_said(self.store)}"
        yield from (f"    {problem}" for problem in self.store.problems)
        for row in self.open:
            yield f"    Away since {moment(row.began_at)} in {row.process}."
        for row in self.ended:
            yield (
                f"    Was away from {moment(row.began_at)} to {moment(row.ended_at or row.seen_at)}"
                f" in {row.process}."
            )
        for proxy in self.proxies:
            yield (
                f"Proxy {proxy.address}: its forwarding headers are not believed "
                f"(last seen {moment(proxy.last_seen)})."
            )
            yield "    If it is yours, add it to APIGUARD['TRUSTED_PROXIES']."


def report() -> Report:
    """Ask the store, and read what was noted."""
    now = timezone.now()
    day_ago = now - timedelta(days=1)
    outages = CounterOutage.objects.using(write_alias())
    return Report(
        store(conf.current().counter),
        now,
        list(outages.open(now)[:OUTAGES_SHOWN]),
        list(outages.ended_since(day_ago, now)[:OUTAGES_SHOWN]),
        proxies.untrusted_since(day_ago),
    )


def store(name: str) -> Store:
    """Ask the store that the setting ``COUNTER`` names; never raises."""
    if name == "memory":
        return Store(name)
    where, everywhere = name, {}
    if is_cluster(name):
        where = f"{CLUSTER}{cluster_host(name)}"
        everywhere = {"target_nodes": RedisCluster.PRIMARIES}
    try:
        client = connector(name, CLUSTER_TIMEOUT_SECONDS)()
        client.ping(**everywhere)
    except Exception as error:  # noqa: BLE001 - whatever the client raises means the same
        return Store(where, answers=False, error=_words(error))
    try:
        told = client.config_get("maxmemory-policy", **everywhere)
    except (RedisError, OSError):  # Managed servers refuse CONFIG.
        return Store(where, answers=True)
    return Store(where, answers=True, policies=tuple(sorted(set(_values(told)))))


def _values(told: Any) -> Iterable[str]:
    """All policies in a reply: of one server, or of every node of a cluster."""
    if isinstance(told, Mapping):
        for value in told.values():
            yield from _values(value)
    elif told:
        yield told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)


def _words(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__


def _said(store: Store) -> str:
    if store.answers is None:
        return "the memory of each process."
    if not store.answers:
        return f"{store.where}, does not answer."
    told = ", ".join(store.policies) or "not told"
    return f"{store.where}, answers; maxmemory-policy: {told}."


def _outage(row: CounterOutage, *, is_open: bool) -> dict[str, Any]:
    return {
        "process": row.process,
        "began_at": moment(row.began_at),
        "seen_at": moment(row.seen_at),
        "ended_at": moment(row.ended_at),
        "open": is_open,
    }


def _proxy(row: UntrustedProxy) -> dict[str, Any]:
    return {
        "address": row.address,
        "first_seen": moment(row.first_seen),
        "last_seen": moment(row.last_seen),
    }
