"""Where workers leave word of themselves for each other: one hash in the counter's Redis.

A field per process, written by it alone; when it was written is told by the
server's clock, so that no two machines have to agree on the time. The hash is
forgotten ``KEPT_SECONDS`` after the last word, and a word of that age as soon
as a process that is new joins, so it never grows by processes that are gone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..conf import Settings
from ..counters.connect import connector

# A worker of which nothing was heard for so long is not spoken of any more.
KEPT_SECONDS = 900
# What a reader takes at most; more was not written by workers.
MAX_WORDS = 5_000
MAX_LENGTH = 2_048

# KEYS: the hash. ARGV: process, word, seconds that words are kept.
_WRITE = """
local time = redis.call('TIME')
local now = string.format('%d.%06d', time[1], time[2])
if redis.call('HSET', KEYS[1], ARGV[1], now .. ' ' .. ARGV[2]) == 1 then
    local words = redis.call('HGETALL', KEYS[1])
    for i = 1, #words, 2 do
        local at = tonumber(string.match(words[i + 1], '^[%d.]+'))
        if not at or at < now - ARGV[3] then redis.call('HDEL', KEYS[1], words[i]) end
    end
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
"""

# KEYS: the hash. ARGV: the most fields, the longest word.
_READ = """
local time = redis.call('TIME')
local said = {string.format('%d.%06d', time[1], time[2])}
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[1]) then return said end
for _, process in ipairs(redis.call('HKEYS', KEYS[1])) do
    if redis.call('HSTRLEN', KEYS[1], process) <= tonumber(ARGV[2]) then
        said[#said + 1] = process
        said[#said + 1] = redis.call('HGET', KEYS[1], process)
    end
end
return said
"""


# The thread that asks, or asked last; those who hang must not become many.
_asking: threading.Thread | None = None


class Unseen(Exception):
    """The board cannot be read; the message says why, in a word, and holds no secret."""


@dataclass(frozen=True, slots=True)
class Word:
    """What a process left: its name, how many seconds ago, and the text, which may be anything."""

    process: str
    age: float
    text: str


@dataclass(frozen=True, slots=True)
class Board:
    """The hash ``key`` of a client that ``connect`` gives.

    Whatever ``connect`` or the client raises passes through ``write`` and
    ``remove``; every call is one round trip, with the client's timeouts.
    """

    connect: Callable[[], Any]
    key: str

    def write(self, process: str, text: str) -> None:
        """Leave ``text``, of at most ``MAX_LENGTH`` bytes with its time, under this name."""
        self.connect().eval(_WRITE, 1, self.key, process, text, KEPT_SECONDS)

    def remove(self, process: str) -> None:
        """Take back what this process has said; nothing if it said nothing."""
        self.connect().hdel(self.key, process)

    def read(self) -> list[Word]:
        """Every word that is not older than ``KEPT_SECONDS``, in no order.

        Raises:
            Unseen: the store does not answer, or answers with something else.
        """
        try:
            told = self.connect().eval(_READ, 1, self.key, MAX_WORDS, MAX_LENGTH)
            now, rest = float(told[0]), told[1:]
        # Whatever the client raises means the same; its text may hold an address or a password.
        except Exception as error:
            raise Unseen(type(error).__name__) from error
        pairs = zip(map(_text, rest[::2]), map(_text, rest[1::2]), strict=False)
        words = [word for process, said in pairs if (word := _word(process, said, now))]
        return [word for word in words if word.age <= KEPT_SECONDS]


def board_for(settings: Settings) -> Board | None:
    """Return where workers leave their reports; ``None`` where they share no store."""
    if settings.counter == "memory":
        return None
    # The braces keep it on one slot of a cluster, apart from all that is counted.
    return Board(connector(settings.counter), f"{settings.counter_prefix}:{{workers}}")


def read_within(board: Board, seconds: float) -> list[Word]:
    """``board.read()`` for a page, which waits only so long, whatever the client's timeouts are.

    Raises:
        Unseen: as ``read``; also where an earlier call still waits for its answer.
    """
    global _asking
    said: list[list[Word] | Unseen] = []
    before = _asking
    if before is not None:
        before.join(seconds)
        if before.is_alive():
            raise Unseen("Timeout")
    thread = threading.Thread(target=_read_into, args=(board, said), daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # No thread can be had now.
        raise Unseen("no thread") from error
    _asking = thread
    thread.join(seconds)
    if not said:
        raise Unseen("Timeout")
    if isinstance(said[0], Unseen):
        raise said[0]
    return said[0]


def _read_into(board: Board, said: list[list[Word] | Unseen]) -> None:
    try:
        said.append(board.read())
    except Unseen as error:
        said.append(error)


def _word(process: str, said: str, now: float) -> Word | None:
    at, _space, text = said.partition(" ")
    try:
        # A failover may turn the server's clock back.
        age = max(0.0, now - float(at))
    except ValueError:
        return None
    return Word(process, age, text)


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
