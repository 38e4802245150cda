"""What of a check reaches the script, and that an answer belongs to its own question."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from apiguard.counters.base import GiveBack, LimitCheck, StoreFailed
from apiguard.counters.redis import RedisCounter
from apiguard.rules.limits import Limit
from tests.counters.checking import check
from tests.counters.test_redis import QUOTA, WINDOW
from tests.examples import examples


@pytest.fixture
def counter(redis_client) -> RedisCounter:
    return RedisCounter(lambda: redis_client, "test")


def arguments(check: LimitCheck, prefix: str = "test") -> list[object]:
    return RedisCounter(lambda: None, prefix)._arguments(check)


LIMITS = st.builds(
    lambda pk, name, kind, amount, shadow, policy, route: Limit(
        pk, name, kind[0], amount, kind[1], kind[2], shadow, policy, route_pk=route
    ),
    st.integers(1, 3),
    st.sampled_from(["a", "b"]),
    st.sampled_from(
        [
            ("window", 1, ""),
            ("window", 60, ""),
            ("quota", 0, "day"),
            ("quota", 0, "month"),
            ("concurrent", 60, ""),
        ]
    ),
    st.integers(1, 3),
    st.booleans(),
    st.sampled_from(["local", "closed"]),
    st.sampled_from([None, 4]),
)
CHECKS = st.builds(
    LimitCheck,
    st.sampled_from(["p", "q", "ip:192.0.2.1"]),
    st.lists(LIMITS, min_size=1, max_size=3).map(tuple),
    st.integers(1, 3),
    st.booleans(),
    st.sampled_from([0, 7]),
    st.sampled_from([0, 2_000_000]),
    st.lists(st.builds(GiveBack, *(st.integers(0, 1) for _ in range(3))), max_size=2).map(tuple),
    costs=st.sampled_from([(), (1, 2, 3), (3, 2, 1)]),
    is_owed=st.booleans(),
    is_local=st.booleans(),
)


def seen_by_the_script(check: LimitCheck) -> object:
    """Names, and what happens without a store, stay in this process."""
    limits = tuple((x.key, x.kind, x.calendar, x.amount, x.period, x.shadow) for x in check.limits)
    # What is owed is counted; what is not committed is not, whatever it is.
    is_owed = check.commit and check.is_owed
    return check.principal, limits, *check[2:7], check.costs, is_owed


@settings(max_examples=examples(60))
@given(first=CHECKS, second=CHECKS, change=st.booleans())
def test_two_checks_have_the_same_arguments_if_and_only_if_they_are_the_same(first, second, change):
    if change:  # Two that are drawn alone are hardly ever near each other.
        second = first._replace(principal=second.principal, commit=second.commit)
    same = arguments(first) == arguments(second)
    assert same == (seen_by_the_script(first) == seen_by_the_script(second))
    assert (hash(first) == hash(second)) or first != second


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"principal": "q"}, id="principal"),
        pytest.param({"limits": (replace(WINDOW, amount=101), QUOTA)}, id="amount"),
        pytest.param({"limits": (replace(WINDOW, period=61), QUOTA)}, id="period"),
        pytest.param({"limits": (replace(WINDOW, shadow=True), QUOTA)}, id="shadow"),
        pytest.param({"limits": (WINDOW, replace(QUOTA, calendar="day"))}, id="calendar"),
        pytest.param({"limits": (replace(WINDOW, pk=3), QUOTA)}, id="limit"),
        pytest.param({"limits": (QUOTA, WINDOW)}, id="order"),
        pytest.param({"limits": (WINDOW,)}, id="fewer"),
        pytest.param({"cost": 2}, id="cost"),
        pytest.param({"commit": False}, id="commit"),
        pytest.param({"reserve": 1}, id="units to reserve"),
        pytest.param({"ahead": 1}, id="how far ahead"),
        pytest.param({"given_back": (GiveBack(1, -1, 1),)}, id="what is given back"),
    ],
)
def test_another_check_has_other_arguments(change):
    built = LimitCheck("p", (WINDOW, QUOTA), 1, True)
    before = arguments(built)
    assert arguments(built._replace(**change)) != before
    assert arguments(built) == before


def test_another_prefix_is_another_key():
    built = LimitCheck("p", (WINDOW,), 1, True)
    assert arguments(built, "a") != arguments(built, "b")


def test_an_amount_that_changes_applies_at_once(counter):
    assert check(counter, "p", [WINDOW], 60).allowed
    assert not check(counter, "p", [WINDOW], 60).allowed
    assert check(counter, "p", [replace(WINDOW, amount=120)], 60).allowed
    assert not check(counter, "p", [WINDOW], 60).allowed


def test_an_answer_that_comes_too_late_is_not_read_as_that_to_the_next_check(
    redis_url, redis_client
):
    with Redis.from_url(redis_url, socket_timeout=0.05, retry=None) as client:
        counter = RedisCounter(lambda: client, "test")
        check(counter, "p", [WINDOW], 1)
        redis_client.client_pause(60_000, all=False)
        try:
            with pytest.raises(StoreFailed, match="TimeoutError"):
                check(counter, "late", [WINDOW], 50)
        finally:
            redis_client.client_unpause()
        # The connection is made anew, and however busy this machine is, waits.
        client.connection_pool.connection_kwargs["socket_timeout"] = 5
        assert check(counter, "p", [WINDOW], 1).counted[0].used == 2


def test_connections_that_ended_while_they_rested_fail_no_check(redis_client, redis_url):
    with Redis.from_url(redis_url, retry=None) as client:
        counter = RedisCounter(lambda: client, "test")
        check(counter, "p", [WINDOW], 1)
        redis_client.client_kill_filter(_type="normal", skipme=True)
        assert check(counter, "p", [WINDOW], 1).counted[0].used == 2
