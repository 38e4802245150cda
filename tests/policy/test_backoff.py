"""When to try again what failed."""

from __future__ import annotations

import pytest

from apiguard.policy.backoff import FIRST_PAUSE, LONGEST_PAUSE, Backoff


@pytest.fixture
def backoff(clock):
    return Backoff()


def test_while_nothing_fails_anybody_may_try(backoff):
    assert (backoff.failing, backoff.pause, backoff.is_over()) == (False, 0.0, True)
    assert all(backoff.claim() for _ in range(3))
    assert not backoff.is_known()


def test_pauses_double_up_to_the_longest(backoff):
    pauses = []
    for _ in range(6):
        backoff.failed()
        pauses.append(backoff.pause)
    assert pauses == [1.0, 2.0, 4.0, 8.0, LONGEST_PAUSE, LONGEST_PAUSE]


def test_a_thousand_failures_are_no_longer_a_pause(backoff):
    for _ in range(1000):
        backoff.failed()
    assert backoff.pause == LONGEST_PAUSE


def test_in_each_pause_one_caller_tries(backoff, clock):
    backoff.failed()
    assert not backoff.claim()
    clock.forward(FIRST_PAUSE)
    assert [backoff.claim() for _ in range(3)] == [True, False, False]
    clock.forward(FIRST_PAUSE)
    assert backoff.claim()


def test_what_succeeds_is_forgiven(backoff):
    backoff.failed()
    backoff.failed()
    backoff.succeeded()
    assert (backoff.failing, backoff.claim()) == (False, True)
    backoff.failed()
    assert backoff.pause == FIRST_PAUSE


def test_a_failure_of_an_hour_ago_says_nothing_of_now(backoff, clock):
    backoff.failed()
    assert backoff.is_known()
    clock.forward(3600)
    assert backoff.failing
    assert not backoff.is_known()
