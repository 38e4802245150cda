"""A counter in Redis, shared by all processes: one script call per check.

All limits of a principal are checked by ``window.lua`` in a single EVALSHA, on
the server's clock, in one step that no other client can interleave. Needs
Redis 6.2 or later, or a server that speaks like it.

The guarantee is as good as the store: a failover, an eviction or a flush may
forget what was counted.
"""

from __future__ import annotations

import hashlib
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

from redis import Redis
from redis.cluster import RedisCluster
from redis.exceptions import NoScriptError, RedisClusterException, RedisError

from ..rules.limits import MICROSECONDS, Decision, Limit
from .base import GiveBack, LimitCheck, PoolExhausted, StoreFailed, hash_principal, key_for
from .connection import (
    TIMEOUT_SECONDS,
    ConnectionSlots,
    SlotTimeout,
    connector,
    has_waited,
    is_exhausted,
)

_SCRIPT = files("apiguard.counters").joinpath("window.lua").read_text(encoding="utf-8")
_RESET_SCRIPT = files("apiguard.counters").joinpath("reset.lua").read_text(encoding="utf-8")
_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()

# A limit as the script reads it: kind, amount, period in microseconds, shadow.
_LIMIT = struct.Struct("<BIQ?")
# Units that are given back: place, age, units.
_GIVE_BACK = struct.Struct("<QqI")
_KINDS = {("window", ""): 0, ("quota", "day"): 1, ("quota", "month"): 2, ("concurrent", ""): 3}

# What means that the store failed; everything else that a client raises is a defect.
# RedisClusterException is no RedisError: no node of the cluster can be reached, or
# none holds the slot.
STORE_ERRORS = (RedisError, OSError, RedisClusterException)
# What a cluster's client raises besides, before redis-py 7.4, when one thread closes
# connections or renews the table of nodes under another one.
CLUSTER_ERRORS = (AttributeError, RuntimeError)

# A pool that others use, too, may be exhausted although a slot was free.
_POLL_SECONDS = 0.001

# What a probe counts. No row has this number; the key is gone some seconds later.
PROBE_LIMIT = Limit(0, "probe", "window", 1_000_000, 1)
# Principals to try for one on every node of a cluster; a node without slots has none.
MAX_PROBES = 1_000

_making_slots = threading.Lock()


class RedisCounter:
    """Counts in Redis; see ``Counter``.

    Args:
        connect: gives a client, called once per check. Its retries must be off: a
            call that timed out may have been counted.
        prefix: what the keys begin with.
        clock: microseconds since the epoch instead of the server's clock; for tests.
        wait: seconds to wait for a connection when all of the pool are in use.
    """

    def __init__(
        self,
        connect: Callable[[], Redis | RedisCluster],
        prefix: str = "apiguard",
        *,
        clock: Callable[[], int] | None = None,
        wait: float = TIMEOUT_SECONDS,
    ) -> None:
        self._connect = connect
        self._prefix = prefix
        self._clock = clock
        self._wait = wait
        # Process, pool, slots: a child of a fork starts with all slots free.
        self._slots: tuple[int, Any, ConnectionSlots] | None = None

    def read(self, principal: str, limits: tuple[Limit, ...]) -> Decision:
        """As ``Counter.read``."""
        return self.check(LimitCheck(principal, limits, 0, commit=False))

    def reset(self, principal: str, limit_keys: Sequence[int | str]) -> int:
        """As ``Counter.reset``."""
        if not limit_keys:
            return 0
        name = hash_principal(principal)
        keys = [key_for(self._prefix, name, limit_key) for limit_key in limit_keys]
        now = [] if self._clock is None else [self._clock()]
        try:
            client: Any = self._connect()
            return int(client.eval(_RESET_SCRIPT, len(keys), *keys, *now))
        except (*STORE_ERRORS, *CLUSTER_ERRORS) as error:
            raise StoreFailed(f"Redis: {type(error).__name__}") from error

    def check(self, check: LimitCheck) -> Decision:
        """As ``Counter.check``.

        Raises:
            StoreFailed: Redis failed, or did not answer in time.
            PoolExhausted: no connection became free in time.
        """
        if not check.limits:
            return Decision(allowed=True, now=time.time_ns() // 1000)
        try:
            client: Any = self._connect()
            # A cluster's client has one pool per node, which it chooses by itself.
            pool = getattr(client, "connection_pool", None)
            arguments = self._arguments(check)
            if pool is None:
                reply = self._evaluate_in_cluster(client, arguments)
            else:
                with self._slots_of(pool).hold(self._wait):
                    reply = self._evaluate(client, arguments)
        except SlotTimeout as error:
            raise PoolExhausted("all connections are in use") from error
        except STORE_ERRORS as error:
            if is_exhausted(error):
                raise PoolExhausted("all connections are in use") from error
            raise StoreFailed(f"Redis: {type(error).__name__}") from error
        return _decision(reply, check.limits)

    def _slots_of(self, pool: Any) -> ConnectionSlots:
        held = self._slots
        if held is None or held[1] is not pool or held[0] != os.getpid():
            held = self._make_slots(pool)
        return held[2]

    def _make_slots(self, pool: Any) -> tuple[int, Any, ConnectionSlots]:
        # Threads that start together must share them: a second set would let more
        # threads to the pool than it has connections for.
        with _making_slots:
            held, process = self._slots, os.getpid()
            if held is None or held[1] is not pool or held[0] != process:
                held = self._slots = (process, pool, ConnectionSlots(pool.max_connections))
            return held

    def _evaluate_in_cluster(self, client: Any, arguments: Sequence[Any]) -> Any:
        try:
            return self._evaluate(client, arguments)
        except CLUSTER_ERRORS as error:
            raise StoreFailed(f"Redis Cluster: {type(error).__name__}") from error

    def _evaluate(self, client: Any, arguments: Sequence[Any]) -> Any:
        """Run the script, and wait while others hold all connections."""
        for _ in range(int(self._wait / _POLL_SECONDS)):
            try:
                return _run_script(client, arguments)
            except RedisError as error:
                # Nothing was sent, so this is no retry.
                if not is_exhausted(error) or has_waited(error):
                    raise
            time.sleep(_POLL_SECONDS)
        return _run_script(client, arguments)

    def _arguments(self, check: LimitCheck) -> list[Any]:
        """Number of keys, keys, and what else the script reads."""
        name = hash_principal(check.principal)
        keys = [key_for(self._prefix, name, limit.key) for limit in check.limits]
        now = [] if self._clock is None else [self._clock()]
        commit = b"0" if not check.commit else b"2" if check.is_owed else b"1"
        ahead = [check.reserve, check.ahead, _packed_give_backs(check.given_back)]
        limits, costs = _packed(check.limits), _packed_costs(check.costs)
        return [len(keys), *keys, limits, check.cost, commit, *ahead, costs, *now]


def _run_script(client: Any, arguments: Sequence[Any]) -> Any:
    try:
        return client.evalsha(_SHA, *arguments)
    except NoScriptError:
        # Nothing ran yet. EVAL also makes the server remember the script.
        return client.eval(_SCRIPT, *arguments)


@lru_cache(maxsize=1024)
def _packed(limits: tuple[Limit, ...]) -> bytes:
    return b"".join(
        _LIMIT.pack(
            _KINDS[limit.kind, limit.calendar],
            limit.amount,
            limit.period * MICROSECONDS,
            limit.shadow,
        )
        for limit in limits
    )


@lru_cache(maxsize=1024)
def _packed_costs(costs: tuple[int, ...]) -> bytes:
    return struct.pack(f"<{len(costs)}I", *costs)


def _packed_give_backs(given_back: tuple[GiveBack, ...]) -> bytes:
    return b"".join(_GIVE_BACK.pack(*each) for each in given_back) if given_back else b""


def _decision(reply: Any, limits: tuple[Limit, ...]) -> Decision:
    # Text or bytes: that is up to the client's ``decode_responses``.
    if isinstance(reply, bytes | str):
        try:
            now, allowed, reserved, may_return, *raw = map(int, reply.split())
        except ValueError:
            pass
        else:
            if len(raw) == 3 * len(limits):
                is_allowed, is_soon = allowed == 1, may_return == 1
                return Decision(is_allowed, now, limits, tuple(raw), reserved, is_soon)
    raise StoreFailed("Redis: unexpected reply")


def probe_store(name: str, prefix: str, timeout: float) -> None:
    """Count one unit in the store that ``COUNTER`` names; on every primary of a cluster.

    A PING proves less: a read-only replica and a full Redis answer it, and a user that
    may count need not be allowed to send it.

    Raises:
        StoreFailed: it does not answer, or refuses to count.
        Exception: what connecting raises, such as for a cache that is no Redis.
    """
    client = connector(name, timeout)()
    counter = RedisCounter(lambda: client, prefix, wait=timeout)
    for principal in _principals(client, prefix):
        counter.check(LimitCheck(principal, (PROBE_LIMIT,), 1))


def _principals(client: Any, prefix: str) -> Iterator[str]:
    if not isinstance(client, RedisCluster):
        yield "probe"
        return
    cluster: Any = client  # redis-py leaves these methods without types.
    left = {node.name for node in cluster.get_primaries()}
    for number in range(MAX_PROBES):
        principal = f"probe:{number}"
        key = key_for(prefix, hash_principal(principal), PROBE_LIMIT.pk)
        node = cluster.get_node_from_key(key)
        if node is not None and node.name in left:
            left.discard(node.name)
            yield principal
        if not left:
            return
