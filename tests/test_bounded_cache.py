"""A bounded map: what is in use stays, and no step looks at all of it."""

from __future__ import annotations

import threading

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from apiguard.bounded_cache import BoundedCache

SECONDS_TO_WAIT = 30


def filled(room, keys):
    cache = BoundedCache(room)
    for key in keys:
        cache.put(key, f"value {key}")
    return cache


def held(cache, keys):
    return [key for key in keys if cache.get(key) is not None]


def test_what_was_put_last_is_held_and_what_was_never_put_is_not():
    cache = filled(3, range(100))
    assert held(cache, [99, 98, 97]) == [99, 98, 97]
    assert cache.get(100) is None


def test_entries_in_use_stay_however_many_are_read_only_once():
    cache = filled(10, ["hot"])
    for number in range(1000):
        cache.put(number, number)
        if number % 9 == 0:
            assert cache.get("hot") == "value hot"
    assert cache.get("hot") == "value hot"


def test_entries_that_are_not_read_are_evicted():
    cache = filled(10, ["cold", *range(20)])
    assert cache.get("cold") is None


def test_there_are_never_more_than_two_generations():
    cache = BoundedCache(10)
    sizes = set()
    for number in range(1000):
        cache.put(number, number)
        cache.get(number // 2)
        sizes.add(len(cache))
    assert max(sizes) <= 20


def test_what_is_put_anew_is_what_is_read():
    cache = filled(1, ["a"])
    cache.put("b", 1)
    cache.put("a", 2)
    cache.put("b", 3)
    assert (cache.get("a"), cache.get("b")) == (2, 3)


def test_a_copy_holds_what_was_wanted_and_the_original_is_as_it_was():
    cache = filled(4, "abcd")
    copy = cache.where(lambda value: value != "value c")
    assert (held(copy, "abcd"), held(cache, "abcd")) == (["a", "b", "d"], ["a", "b", "c", "d"])
    copy.put("e", 1)
    assert cache.get("e") is None


def test_a_copy_brings_back_no_value_that_was_replaced():
    cache = filled(1, ["a", "b"])
    cache.put("a", "another")
    assert cache.where(lambda value: value != "another").get("a") is None


class Unhurried:
    """A lock that somebody else holds; who waits for it has failed."""

    def acquire(self, blocking=True):
        assert not blocking
        return False


def test_a_reader_does_not_wait_for_a_writer():
    cache = filled(2, "abc")
    cache._lock = Unhurried()
    assert held(cache, "abc") == ["a", "b", "c"]


class CountingDict(dict):
    """Counts look-ups and notices everything that would walk over the entries."""

    asked = 0

    def get(self, key, default=None):
        CountingDict.asked += 1
        return super().get(key, default)

    def __iter__(self):
        raise AssertionError("somebody walks over all entries")

    keys = values = items = __iter__


@pytest.mark.parametrize("size", [10, 10_000])
def test_a_read_takes_at_most_two_look_ups_however_many_there_are(size):
    cache = filled(size, range(size))
    cache._generations = (CountingDict(cache._generations[0]), CountingDict())
    CountingDict.asked = 0
    assert cache.get(size // 2) is not None
    assert cache.get(-1) is None
    assert CountingDict.asked == 3


def test_making_room_walks_over_nothing():
    cache = BoundedCache(100)
    for number in range(300):
        entries = [list(dict.items(generation)) for generation in cache._generations]
        cache._generations = tuple(CountingDict(pairs) for pairs in entries)
        cache.put(number, number)
        cache.get(number - 50)
    assert dict.__len__(cache._generations[0]) == 100


class TheLastRoomAreHeld(RuleBasedStateMachine):
    """Against a plain list of all that was ever done, the latest last."""

    @initialize(room=st.integers(1, 6))
    def begin(self, room):
        self.room, self.cache = room, BoundedCache(room)
        self.truth, self.used = {}, []

    def _use(self, key):
        self.used = [*(other for other in self.used if other != key), key]

    @rule(key=st.integers(0, 12), value=st.integers())
    def put(self, key, value):
        self.cache.put(key, value)
        self.truth[key] = value
        self._use(key)

    @rule(key=st.integers(0, 12))
    def get(self, key):
        value = self.cache.get(key)
        if key in self.used[-self.room :]:
            assert value == self.truth.get(key)
        assert value is None or value == self.truth[key]
        if value is not None:
            self._use(key)

    @rule(gone=st.integers(0, 12))
    def copy(self, gone):
        unwanted = self.truth.get(gone)
        self.cache = self.cache.where(lambda value: value != unwanted)
        self.truth = {key: value for key, value in self.truth.items() if value != unwanted}

    @invariant()
    def it_is_bounded(self):
        assert len(self.cache) <= 2 * self.room


TestTheLastRoomAreHeld = TheLastRoomAreHeld.TestCase


def test_threads_that_fill_read_and_copy_never_see_a_wrong_value():
    cache, wrong = BoundedCache(50), []

    def work(seed):
        try:
            for number in range(3000):
                key = (number * seed) % 200
                if (value := cache.get(key)) not in (None, -key):
                    wrong.append((key, value))
                cache.put(key, -key)
                if number % 100 == 0:
                    copy = cache.where(lambda value: value % 2 == 0)
                    wrong.extend(value for value in copy.values() if value % 2)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what this test looks for
            wrong.append(error)

    threads = [threading.Thread(target=work, args=[seed]) for seed in (1, 3, 7, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS_TO_WAIT)
    assert wrong == []
    assert len(cache) <= 100
