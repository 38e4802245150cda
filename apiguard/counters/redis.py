"""A counter in Redis, shared by all processes: one script call per decision.

All limits of a principal are judged by ``window.lua`` in a single EVALSHA, on
the server's clock, in one step that no other client can interleave. Needs
Redis 6.2 or later, or a server that speaks like it.

The guarantee is as good as the store: a failover, an eviction or a flush may
forget what was counted.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

from redis import Redis
from redis.exceptions import NoScriptError, RedisError

from apiguard.counters.base import StoreFailed, decision_of, hash_principal, key_for
from apiguard.rules.limits import MICROSECONDS, Decision, Limit

_SCRIPT = files("apiguard.counters").joinpath("window.lua").read_text(encoding="utf-8")
_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()

# The reply: now and allowed, then per limit fits, used, wait, reset.
_HEAD = 2
_PER_LIMIT = 4


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
        connect: Callable[[], Redis],
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
        arguments = self._arguments(principal, limits, cost, commit=commit)
        try:
            reply = _run(self._connect(), len(limits), arguments)
        except (RedisError, OSError) as error:
            raise StoreFailed(f"Redis: {type(error).__name__}") from error
        return _decision(reply, limits)

    def _arguments(
        self, principal: str, limits: Sequence[Limit], cost: int, *, commit: bool
    ) -> list[str | int]:
        principal_hash = hash_principal(principal)
        arguments: list[str | int] = [
            key_for(self._prefix, principal_hash, limit.pk) for limit in limits
        ]
        arguments += ["" if self._clock is None else self._clock(), cost, int(commit)]
        for limit in limits:
            kind = limit.calendar if limit.kind == "quota" else "window"
            arguments += [kind, limit.amount, limit.period * MICROSECONDS, int(limit.shadow)]
        return arguments


def _run(client: Redis, keys: int, arguments: list[str | int]) -> Any:
    try:
        return client.evalsha(_SHA, keys, *arguments)
    except NoScriptError:
        # Nothing ran yet; EVAL also makes the server remember the script.
        return client.eval(_SCRIPT, keys, *arguments)


def _decision(reply: Any, limits: Sequence[Limit]) -> Decision:
    if (
        not isinstance(reply, list)
        or len(reply) != _HEAD + _PER_LIMIT * len(limits)
        or not all(isinstance(number, int) for number in reply)
    ):
        raise StoreFailed("Redis: unexpected reply")
    rows = []
    for position, limit in enumerate(limits):
        at = _HEAD + _PER_LIMIT * position
        fits, used, wait, reset = reply[at : at + _PER_LIMIT]
        rows.append((limit, fits == 1, used, wait, None if reset < 0 else reset))
    return decision_of(reply[0], rows, allowed=reply[1] == 1)
