"""Which refused requests of a second are kept: a table, and random floods."""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apiguard.telemetry.refusal_sample import (
    MAX_CALLERS,
    MAX_READY,
    PER_CALLER,
    PER_SECOND,
    RefusalSample,
)

EXAMPLES = int(os.environ.get("SAMPLE_EXAMPLES", "50"))


def sampled(requests, at=0.0, seed=0):
    """Kept numbers of these (caller, is_identified, group) requests, and the count of the rest."""
    sample = RefusalSample(random.Random(seed).random)
    for number, (caller, is_identified, group) in enumerate(requests):
        sample.add(
            at, group, caller, is_identified=is_identified, build=lambda number=number: number
        )
    return sample.take(at)


def anonymous(number, group="a"):
    return (f"ip:{number}", False, group)


def client(number, group="a"):
    return (f"client:{number}", True, group)


FLOOD = [anonymous(1)] * 5000
CROWD = [anonymous(number) for number in range(5000)]
TEN = [client(number) for number in range(10)]


@pytest.mark.parametrize(
    ("requests", "kept_for_sure"),
    [
        pytest.param([anonymous(1)] * PER_SECOND, range(PER_SECOND), id="few: all of them"),
        pytest.param([*FLOOD, *TEN], range(5000, 5010), id="clients after a flood of one caller"),
        pytest.param([*TEN, *CROWD], range(10), id="clients before a flood of many addresses"),
        pytest.param([client(1)] * 5000 + TEN[2:], range(5000, 5008), id="beside a busy client"),
        pytest.param(
            [client(1)] * 5000 + [anonymous(2)], [5000], id="a stranger beside a busy client"
        ),
        pytest.param([*FLOOD, anonymous(2)], [0, 5000], id="the first of each caller"),
        pytest.param([*FLOOD, anonymous(1, "b")], [0, 5000], id="the first of each outcome"),
    ],
)
def test_what_must_not_get_lost_is_kept(requests, kept_for_sure):
    taken = sampled(requests)
    assert set(kept_for_sure) <= set(taken.kept)
    assert len(taken.kept) == min(len(requests), PER_SECOND)
    assert len(taken.kept) + taken.unkept.total() == len(requests)


def test_of_one_busy_client_the_first_requests_are_kept_before_those_of_strangers():
    taken = sampled([*CROWD[:50], *[client(1)] * 50])
    assert len([number for number in taken.kept if number >= 50]) == PER_CALLER


def test_each_of_the_rest_is_as_likely_as_any_other():
    requests, rounds = [anonymous(1)] * 100, 600
    times = Counter(
        number for seed in range(rounds) for number in sampled(requests, seed=seed).kept
    )
    assert times.pop(0) == rounds
    # 19 of 99 at 600 rounds: 115 on average, with a deviation of 10.
    assert len(times) == 99
    assert min(times.values()) > 60
    assert max(times.values()) < 170


def test_a_second_has_no_more_room_because_it_was_flushed_between():
    sample = RefusalSample()
    kept = 0
    for number in range(100):
        sample.add(5.0 + number / 200, "a", "x", is_identified=True, build=object)
        kept += len(sample.take(5.0 + number / 200).kept)
    assert kept == PER_SECOND
    assert sample.add(6.0, "a", "x", is_identified=False, build=object)


def test_a_flush_in_the_middle_of_a_second_leaves_room_for_who_is_more_important():
    sample = RefusalSample()
    for _ in range(50):
        sample.add(5.1, "a", "ip:1", is_identified=False, build=lambda: "flood")
    assert sample.take(5.2, everything=False).kept == []
    assert not sample.is_empty
    sample.add(5.9, "a", "client:1", is_identified=True, build=lambda: "client")
    kept = sample.take(6.0, everything=False).kept
    assert len(kept) == PER_SECOND
    assert kept[-1] == "client"
    assert sample.is_empty


def test_what_waits_for_a_database_that_hangs_is_bounded_and_the_newest_stays():
    sample = RefusalSample()
    for second in range(100):
        for _ in range(PER_SECOND):
            sample.add(second, "a", "x", is_identified=True, build=lambda s=second: s)
    taken = sample.take(99.5)
    assert len(taken.kept) == MAX_READY
    assert taken.kept[-1] == 99
    assert taken.unkept == {"a": 100 * PER_SECOND - MAX_READY}


def test_memory_is_bounded_however_many_callers_there_are():
    sample = RefusalSample()
    for number in range(2 * MAX_CALLERS):
        sample.add(0, "a", f"ip:{number}", is_identified=False, build=object)
    assert len(sample._callers) == MAX_CALLERS
    sample.add(0, "a", "client:1", is_identified=True, build=lambda: "found")
    assert "found" in sample.take(0).kept


def test_a_row_is_described_only_if_it_is_kept():
    described = Counter()
    sample = RefusalSample(random.Random(1).random)
    for number in range(10_000):
        sample.add(
            0,
            "a",
            "ip:1",
            is_identified=False,
            build=lambda number=number: described.update([number]),
        )
    # 20, and 20/n for each later one: about 20 ln(500).
    assert 100 < len(described) < 200


requests = st.lists(
    st.tuples(st.sampled_from("uvwxyz"), st.booleans(), st.sampled_from(["a", "b"])), max_size=120
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 3), requests), max_size=6), st.integers(0, 99))
def test_every_request_is_kept_or_counted_and_a_second_keeps_no_more_than_its_share(parts, seed):
    sample = RefusalSample(random.Random(seed).random)
    kept, unkept, offered = [], Counter(), Counter()
    for at, batch in sorted(parts, key=lambda part: part[0]):
        for caller, is_identified, group in batch:
            offered[group] += 1
            sample.add(
                at,
                group,
                caller,
                is_identified=is_identified,
                build=lambda entry=(int(at), caller, is_identified, group): entry,
            )
        taken = sample.take(at)
        kept += taken.kept
        unkept += taken.unkept
    assert Counter(entry[3] for entry in kept) + unkept == offered
    assert all(count <= PER_SECOND for count in Counter(entry[0] for entry in kept).values())


@settings(max_examples=EXAMPLES, deadline=None)
@given(requests, st.integers(0, 99))
def test_no_less_important_request_takes_the_place_of_a_more_important_one(batch, seed):
    def rank(number):
        caller, is_identified, group = batch[number]
        before = batch[:number].count((caller, is_identified, group))
        if is_identified and before < PER_CALLER:
            return 2
        return 1 if before == 0 else 0

    # A caller is identified or not, never both.
    batch = [
        (f"{caller}{is_identified}", is_identified, group) for caller, is_identified, group in batch
    ]
    kept = set(sampled(batch, seed=seed).kept)
    left_out = set(range(len(batch))) - kept
    assert not left_out or max(map(rank, left_out)) <= min(map(rank, kept))
