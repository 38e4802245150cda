"""A counter in Redis, shared by all processes: one script call per decision.

All limits of a principal are judged by ``window.lua`` in a single EVALSHA, on
the server's clock, in one step that no other client can interleave. Needs
Redis 6.2 or later, or a server that speaks like it.

The guarantee is as good as the store: a failover, an eviction or a flush may
forget what was counted.
"""

from __future__ import annotations

import hashlib
import struct
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

from redis import Redis
from redis.cluster import RedisCluster
from redis.exceptions import NoScriptError, ResponseError

from apiguard.counters.base import StoreFailed, hash_principal, key_for
from apiguard.rules.limits import MICROSECONDS, Counted, Decision, Limit

_SCRIPT = files("apiguard.counters").joinpath("window.lua").read_text(encoding="utf-8")
_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()

# A limit as the script reads it: kind, amount, period in microseconds, shadow.
_LIMIT = struct.Struct("<BIQ?")
_KINDS = {"": 0, "day": 1, "month": 2}

# The reply: now and allowed, then per limit used, wait, reset.
_HEAD = 2
_PER_LIMIT = 3


class RedisCounter:
    """Counts in Redis; see ``Counter``.

    Args:
        connect: gives a client, called once per decision. Retries are the
            client's own affair and should be off: a call that timed out may
            have been counted.
        prefix: what the keys begin with.
        clock: microseconds since the epoch instead of the server's clock; for tests.
    """

    def __init__(
        self,
        connect: Callable[[], Redis | RedisCluster],
        prefix: str = "apiguard",
        *,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self._connect = connect
        self._prefix = prefix
        self._clock = clock

    def decide(
        self, principal: str, limits: Sequence[Limit], cost: int, *, commit: bool = True
    ) -> Decision:
        if not limits:
            return Decision(allowed=True, now=time.time_ns() // 1000)
        principal_hash, prefix = hash_principal(principal), self._prefix
        arguments: list[Any] = [key_for(prefix, principal_hash, limit.pk) for limit in limits]
        arguments += (_packed(limits), cost, b"1" if commit else b"0")
        if self._clock is not None:
            arguments.append(self._clock())
        try:
            reply = _run(self._connect(), len(limits), arguments)
        # Whatever the client raises means the same. Not all of it is a RedisError:
        # a cluster whose nodes change under a call is known for more than that.
        except Exception as error:
            raise StoreFailed(f"Redis: {type(error).__name__}") from error
        return _decision(reply, limits)


def _packed(limits: Sequence[Limit]) -> bytes:
    pack = _LIMIT.pack
    return b"".join(
        [
            pack(_KINDS[limit.calendar], limit.amount, limit.period * MICROSECONDS, limit.shadow)
            for limit in limits
        ]
    )


def _run(client: Redis | RedisCluster, keys: int, arguments: list[Any]) -> Any:
    # A cluster's client has no pool of its own: it finds the node by itself.
    ask: Any = _ask if isinstance(client, Redis) else type(client).execute_command
    try:
        return ask(client, "EVALSHA", _SHA, keys, *arguments)
    except NoScriptError:
        # Nothing ran yet; EVAL also makes the server remember the script.
        return ask(client, "EVAL", _SCRIPT, keys, *arguments)


def _ask(client: Redis, *command: Any) -> Any:
    """One command, over a connection of the client's own pool.

    As ``execute_command``, without what it does for each call around it: no
    retries, which would count twice, no timing, and no parsing by command.
    """
    pool = client.connection_pool
    connection: Any = pool.get_connection()
    try:
        connection.send_command(*command)
        return connection.read_response()
    except ResponseError:
        raise  # The server has answered; the connection is as good as before.
    except BaseException:
        # An answer that comes late must not be read as that to the next command.
        connection.disconnect()
        raise
    finally:
        pool.release(connection)


def _decision(reply: Any, limits: Sequence[Limit]) -> Decision:
    if (
        not isinstance(reply, list)
        or len(reply) != _HEAD + _PER_LIMIT * len(limits)
        or set(map(type, reply)) != {int}
    ):
        raise StoreFailed("Redis: unexpected reply")
    numbers = iter(reply[_HEAD:])
    counted = [
        Counted(limit, wait == 0, used, wait, None if reset < 0 else reset)
        for limit, used, wait, reset in zip(limits, numbers, numbers, numbers, strict=True)
    ]
    return Decision(reply[1] == 1, reply[0], tuple(counted))
