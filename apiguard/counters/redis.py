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
from collections.abc import Callable, Generator, Hashable, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

from redis import Redis
from redis.client import NEVER_DECODE
from redis.cluster import RedisCluster
from redis.exceptions import NoScriptError

from ..rules.limits import MICROSECONDS, Decision, Limit
from ..rules.recent import Recent
from .base import Asking, StoreFailed, hash_principal, key_for, waited_for
from .connections import Connections

_SCRIPT = files("apiguard.counters").joinpath("window.lua").read_text(encoding="utf-8")
_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()

# A limit as the script reads it: kind, amount, period in microseconds, shadow.
_LIMIT = struct.Struct("<BIQ?")
_KINDS = {"": 0, "day": 1, "month": 2}

# Whatever a project's own client makes of texts, a reply is none.
_AS_BYTES = {NEVER_DECODE: True}

# Of questions that were asked before; about half a KiB each.
MAX_PACKED = 4096


class Question(NamedTuple):
    """All that a decision depends on, but for what was counted before."""

    principal: str
    limits: tuple[Limit, ...]
    cost: int
    commit: bool


class Packed(NamedTuple):
    """A question as it goes over the wire, and whose limits it is about."""

    limits: tuple[Limit, ...]
    command: Any


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
        self._connections: Connections | None = None
        # Who comes once comes again, and asks in the same bytes.
        self._packed: Recent[Hashable, Packed] = Recent(MAX_PACKED)

    def decide(
        self, principal: str, limits: Sequence[Limit], cost: int, *, commit: bool = True
    ) -> Decision:
        return waited_for(self.asking(principal, limits, cost, commit=commit))

    def asking(
        self, principal: str, limits: Sequence[Limit], cost: int, *, commit: bool = True
    ) -> Asking:
        """As ``decide``, with a stop between question and answer."""
        if not limits:
            return Decision(allowed=True, now=time.time_ns() // 1000)
        question = Question(principal, tuple(limits), cost, commit)
        try:
            client: Any = self._connect()
            # A cluster's client has no pool of its own: it finds the node by itself.
            pool = getattr(client, "connection_pool", None)
            if pool is None:
                reply = self._ask_cluster(client, question)
            else:
                reply = yield from self._ask(pool, question)
        # Whatever the client raises means the same. Not all of it is a RedisError:
        # a cluster whose nodes change under a call is known for more than that.
        except Exception as error:
            raise StoreFailed(f"Redis: {type(error).__name__}") from error
        return _decision(reply, question.limits)

    def _ask(self, pool: Any, question: Question) -> Generator[None, None, Any]:
        """One command over one connection of the client's pool.

        As ``execute_command``, without what it does for each call around it: no
        retries, which would count twice, no timing, and no parsing by command.
        """
        connections = self._connections
        if connections is None or connections.pool is not pool:
            connections = self._connections = Connections(pool)
        taken = connections.take()
        connection = taken.connection
        try:
            connection.send_packed_command(self._question(question, connection))
            # Who waits for a connection of the same pool must not wait for this one.
            if not connections.are_scarce:
                yield
            try:
                reply = connection.read_response(disable_decoding=True)
            except NoScriptError:
                # Nothing ran yet; EVAL also makes the server remember the script.
                connection.send_command("EVAL", _SCRIPT, *self._arguments(question))
                reply = connection.read_response(disable_decoding=True)
        except BaseException:
            # An error included: it may have been said of nothing that was asked, and
            # then every answer behind it would be read as that to the next question.
            connections.drop(taken)
            raise
        if _is_about(reply, question.limits):
            connections.keep(taken)
        else:
            connections.drop(taken)
        return reply

    def _ask_cluster(self, client: Any, question: Question) -> Any:
        arguments = self._arguments(question)
        try:
            return client.execute_command("EVALSHA", _SHA, *arguments, **_AS_BYTES)
        except NoScriptError:
            return client.execute_command("EVAL", _SCRIPT, *arguments, **_AS_BYTES)

    def _question(self, question: Question, connection: Any) -> Any:
        """The command, as it goes over the wire."""
        # By identity, which is told at once: the limits of a tier are the same ones every time.
        name = (question.principal, id(question.limits), question.cost, question.commit)
        packed = self._packed.get(name)
        if packed is None or packed.limits is not question.limits:
            command = connection.pack_command("EVALSHA", _SHA, *self._arguments(question))
            packed = Packed(question.limits, command)
            if self._clock is None:
                self._packed.put(name, packed)
        return packed.command

    def _arguments(self, question: Question) -> list[Any]:
        """Number of keys, keys, and what else the script reads."""
        principal, limits, cost, commit = question
        name = hash_principal(principal)
        keys = [key_for(self._prefix, name, limit.pk) for limit in limits]
        now = [] if self._clock is None else [self._clock()]
        return [len(keys), *keys, _of_limits(limits), cost, b"1" if commit else b"0", *now]


def _of_limits(limits: Sequence[Limit]) -> bytes:
    return b"".join(
        _LIMIT.pack(_KINDS[limit.calendar], limit.amount, limit.period * MICROSECONDS, limit.shadow)
        for limit in limits
    )


@lru_cache(maxsize=32)
def _layout(limits: int) -> struct.Struct:
    """A reply about so many limits: now and allowed, then per limit used, wait, reset."""
    return struct.Struct(f"<QB{3 * limits}Q")


def _is_about(reply: Any, limits: Sequence[Limit]) -> bool:
    return type(reply) is bytes and len(reply) == _layout(len(limits)).size


def _decision(reply: Any, limits: Sequence[Limit]) -> Decision:
    if not _is_about(reply, limits):
        raise StoreFailed("Redis: unexpected reply")
    said = _layout(len(limits)).unpack(reply)
    return Decision(said[1] == 1, said[0], tuple(limits), said[2:])
