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
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

from redis import Redis
from redis.client import NEVER_DECODE
from redis.cluster import RedisCluster
from redis.exceptions import NoScriptError

from ..rules.limits import MICROSECONDS, Decision, Limit
from ..rules.recent import Recent
from .base import Answered, Asked, Question, StoreFailed, hash_principal, key_for
from .connections import Connections, Taken

_SCRIPT = files("apiguard.counters").joinpath("window.lua").read_text(encoding="utf-8")
_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()

# A limit as the script reads it: kind, amount, period in microseconds, shadow.
_LIMIT = struct.Struct("<BIQ?")
_KINDS = {"": 0, "day": 1, "month": 2}

# Whatever a project's own client makes of texts, a reply is none.
_AS_BYTES = {NEVER_DECODE: True}

# Of questions that were asked before; about half a KiB each.
MAX_PACKED = 4096


class Packed(NamedTuple):
    """A question as it goes over the wire, and how it is answered there."""

    question: Question
    command: Any
    layout: struct.Struct


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
        return self.ask(Question(principal, tuple(limits), cost, commit)).answer()

    def ask(self, question: Question) -> Asked:
        """As ``decide``, in two steps."""
        if not question.limits:
            return Answered(Decision(allowed=True, now=time.time_ns() // 1000))
        try:
            client: Any = self._connect()
            # A cluster's client has no pool of its own: it finds the node by itself.
            pool = getattr(client, "connection_pool", None)
            if pool is None:
                reply = self._ask_cluster(client, question)
            else:
                sent = self._send(pool, question)
        # Whatever the client raises means the same. Not all of it is a RedisError:
        # a cluster whose nodes change under a call is known for more than that.
        except Exception as error:
            raise _failure(error) from error
        if pool is None:
            return Answered(_decision(reply, question.limits, _layout(len(question.limits))))
        # Who waits for a connection of the same pool must not wait for this one.
        return Answered(sent.answer()) if sent.connections.are_scarce else sent

    def _send(self, pool: Any, question: Question) -> _Sent:
        """One command over one connection of the client's pool.

        As ``execute_command``, without what it does for each call around it: no
        retries, which would count twice, no timing, and no parsing by command.
        """
        connections = self._connections
        if connections is None or connections.pool is not pool:
            connections = self._connections = Connections(pool)
        taken = connections.take()
        try:
            packed = self._packed_by(taken.connection, question)
            taken.connection.send_packed_command(packed.command)
        except BaseException:
            connections.drop(taken)
            raise
        return _Sent(self, packed, connections, taken)

    def teach(self, connection: Any, question: Question) -> Any:
        """What a server replies that did not know the script: nothing ran yet."""
        # EVAL also makes the server remember it.
        connection.send_command("EVAL", _SCRIPT, *self._arguments(question))
        return connection.read_response(disable_decoding=True)

    def _ask_cluster(self, client: Any, question: Question) -> Any:
        arguments = self._arguments(question)
        try:
            return client.execute_command("EVALSHA", _SHA, *arguments, **_AS_BYTES)
        except NoScriptError:
            return client.execute_command("EVAL", _SCRIPT, *arguments, **_AS_BYTES)

    def _packed_by(self, connection: Any, question: Question) -> Packed:
        # By identity, which is told at once: the limits of a tier are the same ones every time.
        name = (question.principal, id(question.limits), question.cost, question.commit)
        packed = self._packed.get(name)
        if packed is None or packed.question.limits is not question.limits:
            command = connection.pack_command("EVALSHA", _SHA, *self._arguments(question))
            packed = Packed(question, command, _layout(len(question.limits)))
            if self._clock is None:
                self._packed.put(name, packed)
        return packed

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


def _decision(reply: Any, limits: tuple[Limit, ...], layout: struct.Struct) -> Decision:
    if type(reply) is not bytes or len(reply) != layout.size:
        raise StoreFailed("Redis: unexpected reply")
    said = layout.unpack(reply)
    return Decision(said[1] == 1, said[0], limits, said[2:])


def _failure(error: Exception) -> StoreFailed:
    return StoreFailed(f"Redis: {type(error).__name__}")


class _Sent:
    """A question that was sent, and the connection on which its answer comes."""

    __slots__ = ("_counter", "_packed", "_taken", "connections")

    def __init__(
        self, counter: RedisCounter, packed: Packed, connections: Connections, taken: Taken
    ) -> None:
        self._counter, self._packed, self.connections = counter, packed, connections
        self._taken: Taken | None = taken  # None, once it was answered or given up.

    def answer(self) -> Decision:
        taken, (question, _, layout) = self._taken, self._packed
        if taken is None:
            raise RuntimeError("This question was answered or given up before.")
        self._taken = None
        try:
            decision = self._read(taken, question, layout)
            # What gives it back may sign in anew, and fail like anything else that asks.
            self.connections.keep(taken)
        except StoreFailed:
            raise
        except Exception as error:
            raise _failure(error) from error
        return decision

    def _read(self, taken: Taken, question: Question, layout: struct.Struct) -> Decision:
        try:
            try:
                reply = taken.connection.read_response(disable_decoding=True)
            except NoScriptError:
                reply = self._counter.teach(taken.connection, question)
            return _decision(reply, question.limits, layout)
        except BaseException:
            # An error included: it may have been said of nothing that was asked, and
            # then every answer behind it would be read as that to the next question.
            self.connections.drop(taken)
            raise

    def give_up(self) -> None:
        taken, self._taken = self._taken, None
        if taken is not None:
            self.connections.drop(taken)
