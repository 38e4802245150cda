"""The registry of workers: one hash in the counter's Redis, with a field per process.

A process writes its own field alone; the server's clock says when, so no two
machines have to agree on the time. The hash is forgotten ``KEPT_SECONDS``
after the last write, and a field of that age as soon as a new process joins,
so processes that are gone never fill it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..concurrency import Busy, DaemonThreads, TimedOut
from ..conf import Settings
from ..counters.connection import connector

# A worker that sent nothing for so long is forgotten.
KEPT_SECONDS = 900
# What a reader takes at most; more was not written by workers.
MAX_ENTRIES = 5_000
MAX_LENGTH = 2_048

# KEYS: the hash. ARGV: process, text, seconds that entries are kept.
_WRITE = """
local time = redis.call('TIME')
local now = string.format('%d.%06d', time[1], time[2])
if redis.call('HSET', KEYS[1], ARGV[1], now .. ' ' .. ARGV[2]) == 1 then
    local entries = redis.call('HGETALL', KEYS[1])
    for i = 1, #entries, 2 do
        local at = tonumber(string.match(entries[i + 1], '^[%d.]+'))
        if not at or at < now - ARGV[3] then redis.call('HDEL', KEYS[1], entries[i]) end
    end
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
"""

# KEYS: the hash. ARGV: the most fields, the longest text.
_READ = """
local time = redis.call('TIME')
local found = {string.format('%d.%06d', time[1], time[2])}
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[1]) then return found end
for _, process in ipairs(redis.call('HKEYS', KEYS[1])) do
    if redis.call('HSTRLEN', KEYS[1], process) <= tonumber(ARGV[2]) then
        found[#found + 1] = process
        found[#found + 1] = redis.call('HGET', KEYS[1], process)
    end
end
return found
"""


class RegistryUnavailable(Exception):
    """The registry cannot be read; the message says why, in a word, and holds no secret."""


@dataclass(frozen=True, slots=True)
class RegistryEntry:
    """What a process wrote: its name, how many seconds ago, and the text, which may be anything."""

    process: str
    age: float
    text: str


@dataclass(frozen=True, slots=True)
class WorkerRegistry:
    """The hash ``key`` of a client that ``connect`` gives.

    Whatever ``connect`` or the client raises passes through ``write`` and
    ``remove``; every call is one round trip, with the client's timeouts.
    """

    connect: Callable[[], Any]
    key: str

    def write(self, process: str, text: str) -> None:
        """Keep ``text``, of at most ``MAX_LENGTH`` bytes with its time, under this name."""
        self.connect().eval(_WRITE, 1, self.key, process, text, KEPT_SECONDS)

    def remove(self, process: str) -> None:
        """Remove the entry of this process, if there is one."""
        self.connect().hdel(self.key, process)

    def read(self) -> list[RegistryEntry]:
        """Return every entry that is not older than ``KEPT_SECONDS``, in no order.

        Raises:
            RegistryUnavailable: the store does not answer, or answers with something else.
        """
        try:
            reply = self.connect().eval(_READ, 1, self.key, MAX_ENTRIES, MAX_LENGTH)
            now, rest = float(reply[0]), reply[1:]
        # Whatever the client raises means the same; its text may hold an address or a password.
        except Exception as error:
            raise RegistryUnavailable(type(error).__name__) from error
        pairs = zip(map(_text, rest[::2]), map(_text, rest[1::2]), strict=False)
        entries = [entry for process, value in pairs if (entry := _entry(process, value, now))]
        return [entry for entry in entries if entry.age <= KEPT_SECONDS]


def _entry(process: str, value: str, now: float) -> RegistryEntry | None:
    at, _space, text = value.partition(" ")
    try:
        # A failover may turn the server's clock back.
        age = max(0.0, now - float(at))
    except ValueError:
        return None
    return RegistryEntry(process, age, text)


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def registry_for(settings: Settings) -> WorkerRegistry | None:
    """Return the registry by these settings; ``None`` where workers share no store."""
    if settings.counter == "memory":
        return None
    # The braces keep it on one slot of a cluster, apart from all that is counted.
    return WorkerRegistry(connector(settings.counter), f"{settings.counter_prefix}:{{workers}}")


# One, because readers that hang must not become many.
_reader = DaemonThreads("apiguard-registry", most=1, max_queue=100)


def read_within(registry: WorkerRegistry, seconds: float) -> list[RegistryEntry]:
    """Return ``registry.read()`` for a page, within ``seconds``, whatever the client's timeouts.

    Raises:
        RegistryUnavailable: as ``read``; also where an earlier call still waits for its answer.
    """
    try:
        return _reader.call(registry.read, seconds)
    except (Busy, TimedOut) as error:
        raise RegistryUnavailable("Timeout") from error
