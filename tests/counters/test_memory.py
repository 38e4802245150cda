from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from apiguard.counters.memory import MemoryCounter
from apiguard.rules.limits import MICROSECONDS, Limit
from tests.counters.checking import check

START = 1_790_000_000_000_000
PER_MINUTE = Limit(1, "per-minute", "window", 1, 60)
PER_HOUR = Limit(2, "per-hour", "window", 1, 3600)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


def test_holds_no_more_than_it_may():
    counter = MemoryCounter(Clock(), max_tallies=10)
    for number in range(100):
        check(counter, f"ip:{number}", [PER_MINUTE, PER_HOUR], 1)
        assert len(counter) <= 10


def test_drops_what_expires_soonest_first():
    counter = MemoryCounter(Clock(), max_tallies=10)
    check(counter, "keeper", [PER_HOUR], 1)
    for number in range(100):
        check(counter, f"ip:{number}", [PER_MINUTE], 1)
    assert not check(counter, "keeper", [PER_HOUR], 1).allowed


def test_does_not_drop_what_was_used_again():
    clock = Clock()
    counter = MemoryCounter(clock, max_tallies=5)
    busy = Limit(3, "busy", "window", 3, 60)
    check(counter, "busy", [busy], 1)
    for number in range(4):
        clock.now += MICROSECONDS
        check(counter, f"ip:{number}", [busy], 1)
    check(counter, "busy", [busy], 2)
    check(counter, "ip:new", [busy], 1)
    assert not check(counter, "busy", [busy], 1).allowed


def test_forgets_what_expired_as_others_come():
    clock = Clock()
    counter = MemoryCounter(clock)
    for number in range(40):
        check(counter, f"ip:{number}", [PER_MINUTE], 1)
    clock.now += 60 * MICROSECONDS
    for number in range(20):
        check(counter, f"late:{number}", [PER_MINUTE], 1)
    assert len(counter) == 20


def test_a_refused_or_uncounted_request_takes_no_room():
    counter = MemoryCounter(Clock())
    check(counter, "a", [PER_MINUTE], 2)
    check(counter, "b", [PER_MINUTE], 1, commit=False)
    assert len(counter) == 0


def test_clear_forgets_everything():
    counter = MemoryCounter(Clock())
    check(counter, "a", [PER_MINUTE], 1)
    counter.clear()
    assert len(counter) == 0
    assert check(counter, "a", [PER_MINUTE], 1).allowed


def test_the_wall_clock_is_the_default():
    assert check(MemoryCounter(), "a", [PER_MINUTE], 1).now > START // 2


def test_threads_share_one_limit_exactly():
    counter = MemoryCounter(Clock())
    limit = Limit(1, "shared", "window", 100, 60)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(16) as pool:
            admitted = list(
                pool.map(lambda _: check(counter, "p", [limit], 1).allowed, range(1600))
            )
    finally:
        sys.setswitchinterval(before)
    assert sum(admitted) == 100
