"""Redis is asked in two steps: who gets which answer, and in which bytes it is asked."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import AuthenticationError, BlockingConnectionPool, Connection, Redis

from apiguard.counters import connections
from apiguard.counters import redis as module
from apiguard.counters.base import Answered, Asked, Question, StoreFailed
from apiguard.counters.memory import MemoryCounter
from apiguard.counters.redis import RedisCounter
from apiguard.rules.limits import MICROSECONDS, Limit
from tests.counters.test_redis import QUOTA, START, WINDOW


@pytest.fixture
def counter(redis_client) -> RedisCounter:
    return RedisCounter(lambda: redis_client, "test")


def begun(counter: RedisCounter, principal: str = "p", limits=(WINDOW,), cost: int = 1) -> Asked:
    asked = counter.ask(Question(principal, tuple(limits), cost))
    assert not isinstance(asked, Answered)
    return asked


def test_the_question_is_sent_at_once_and_the_answer_read_when_it_is_wanted(monkeypatch, counter):
    counter.decide("p", [WINDOW], 1)
    steps = []
    for name in ("send_packed_command", "read_response"):
        method = getattr(Connection, name)

        def noting(self, *args, _name=name, _method=method, **options):
            steps.append(_name)
            return _method(self, *args, **options)

        monkeypatch.setattr(Connection, name, noting)
    asked = begun(counter)
    assert steps == ["send_packed_command"]
    assert asked.answer().counted[0].used == 2
    assert steps == ["send_packed_command", "read_response"]


def test_without_limits_nobody_is_asked():
    asked = RedisCounter(lambda: None).ask(Question("p", (), 1))
    assert isinstance(asked, Answered)
    assert asked.answer().allowed


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["first first", "last first"])
def test_two_under_way_in_one_thread_get_their_own_answers(redis_client, counter, order):
    asked = [begun(counter, "p", cost=7), begun(counter, "q", cost=9)]
    assert len(redis_client.connection_pool._in_use_connections) == 2
    used = {number: asked[number].answer().counted[0].used for number in order}
    assert used == {0: 7, 1: 9}


def test_the_answer_to_one_that_was_given_up_is_lost_and_nobody_else_gets_it(redis_client, counter):
    begun(counter, "p", cost=50).give_up()
    assert [counter.decide("q", [WINDOW], cost).counted[0].used for cost in (1, 2, 3)] == [1, 3, 6]
    # Whether it was counted, nobody can tell; here the server had read the question.
    assert counter.decide("p", [WINDOW], 1).counted[0].used in (1, 51)
    assert len(redis_client.connection_pool._in_use_connections) <= 1


def test_one_is_answered_or_given_up_once(redis_client, counter):
    answered, given_up = begun(counter, "p"), begun(counter, "q")
    answered.answer()
    answered.give_up()
    given_up.give_up()
    given_up.give_up()
    for asked in (answered, given_up):
        with pytest.raises(RuntimeError, match="before"):
            asked.answer()
    # Neither has taken the connection of another.
    assert counter.decide("p", [WINDOW], 1).counted[0].used == 2
    assert len(redis_client.connection_pool._in_use_connections) == 1


def test_what_others_wait_for_is_not_held_in_between(redis_url):
    pool = BlockingConnectionPool.from_url(redis_url, max_connections=1, timeout=1)
    with Redis(connection_pool=pool) as client:
        counter = RedisCounter(lambda: client, "test")
        for used in (1, 2, 3):
            asked = counter.ask(Question("p", (WINDOW,), 1))
            assert isinstance(asked, Answered)
            assert asked.answer().counted[0].used == used
            assert client.ping()
    pool.disconnect()


def test_a_pool_that_has_none_left_is_a_store_failure(redis_url):
    with Redis.from_url(redis_url, max_connections=1) as client:
        counter, pool = RedisCounter(lambda: client, "test"), client.connection_pool
        somebodys = pool.get_connection()
        with pytest.raises(StoreFailed, match="MaxConnectionsError"):
            counter.decide("q", [WINDOW], 1)
        pool.release(somebodys)
        assert counter.decide("q", [WINDOW], 1).counted[0].used == 1
        assert pool.get_connection() is somebodys


def test_a_server_that_forgets_the_script_in_between_is_taught_it(redis_client, counter):
    redis_client.script_flush()
    first, second = begun(counter, "p"), begun(counter, "q")
    assert second.answer().counted[0].used == 1
    redis_client.script_flush()
    assert first.answer().counted[0].used == 1
    assert counter.decide("p", [WINDOW], 1).counted[0].used == 2


def test_a_connection_that_breaks_in_between_is_a_store_failure_and_not_used_again(
    redis_client, counter
):
    counter.decide("p", [WINDOW], 1)
    redis_client.client_pause(60_000, all=False)
    try:
        asked = begun(counter)
        (connection,) = redis_client.connection_pool._in_use_connections
        connection._sock.shutdown(socket.SHUT_RDWR)
        with pytest.raises(StoreFailed, match="ConnectionError"):
            asked.answer()
    finally:
        redis_client.client_unpause()
    # Its question had been sent, so it may have been counted.
    assert counter.decide("p", [WINDOW], 1).counted[0].used in (2, 3)
    assert counter.decide("q", [WINDOW], 1).counted[0].used == 1


def test_a_server_that_answers_too_late_is_not_heard_by_the_next(redis_url, redis_client):
    with Redis.from_url(redis_url, socket_timeout=0.1, retry=None) as client:
        counter = RedisCounter(lambda: client, "test")
        counter.decide("p", [WINDOW], 1)
        redis_client.client_pause(60_000, all=False)
        try:
            asked = begun(counter, "p", cost=50)
            with pytest.raises(StoreFailed, match="TimeoutError"):
                asked.answer()
        finally:
            redis_client.client_unpause()
        (connection,) = client.connection_pool._available_connections
        connection.socket_timeout = 5
        assert counter.decide("q", [WINDOW], 3).counted[0].used == 3


@pytest.mark.parametrize("step", ["send_packed_command", "read_response"])
@pytest.mark.parametrize(
    ("error", "raised"),
    [(KeyboardInterrupt, KeyboardInterrupt), (OSError, StoreFailed), (ValueError, StoreFailed)],
)
def test_whatever_is_raised_between_sending_and_reading_the_connection_is_given_back(
    step, error, raised, redis_url, monkeypatch
):
    def fails(*_, **__):
        raise error

    with Redis.from_url(redis_url, retry=None) as client:
        counter = RedisCounter(lambda: client, "test")
        counter.decide("p", [WINDOW], 1)
        with monkeypatch.context() as patch:
            patch.setattr(Connection, step, fails)
            with pytest.raises(raised):
                counter.decide("p", [WINDOW], 1)
        assert not client.connection_pool._in_use_connections
        # Nobody reads the answer to that question.
        assert counter.decide("q", [WINDOW], 1).counted[0].used == 1


def cannot_sign_in(*_):
    raise AuthenticationError("a token that was renewed meanwhile")


def test_a_connection_that_cannot_sign_in_anew_when_it_is_given_back_is_a_store_failure(
    redis_url, monkeypatch
):
    monkeypatch.setattr(connections, "KEPT_SECONDS", 0)
    with Redis.from_url(redis_url, retry=None) as client:
        asked = begun(RedisCounter(lambda: client, "test"))
        monkeypatch.setattr(Connection, "re_auth", cannot_sign_in)
        with pytest.raises(StoreFailed, match="AuthenticationError"):
            asked.answer()


def test_giving_up_never_fails(redis_url, monkeypatch):
    # It is called where a response is ready to leave.
    with Redis.from_url(redis_url, retry=None) as client:
        asked = begun(RedisCounter(lambda: client, "test"))
        monkeypatch.setattr(Connection, "re_auth", cannot_sign_in)
        asked.give_up()
        assert not client.connection_pool._in_use_connections


INTERLEAVED = st.lists(
    st.tuples(
        st.sampled_from(["begin", "begin", "finish", "give up", "wait"]),
        st.integers(0, 5),
        st.integers(1, 4),
    ),
    max_size=30,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=INTERLEAVED)
def test_however_they_are_interleaved_each_gets_the_answer_to_its_own_question(redis_client, steps):
    # The pool may be the last example's: nothing that it left unread may be seen here.
    redis_client.flushdb()
    now = START
    counter = RedisCounter(lambda: redis_client, "test", clock=lambda: now)
    model, limits, under_way = MemoryCounter(lambda: now), (replace(WINDOW, amount=20), QUOTA), []
    for step, number, cost in steps:
        if step == "begin":
            principal = f"p{number % 2}"
            under_way.append((begun(counter, principal, limits, cost), principal))
            # Another connection may be faster: the server has read this before the next is sent.
            expected = model.decide(principal, limits, cost)
            await_read(under_way[-1][0])
            under_way[-1] = (*under_way[-1], expected)
        elif step == "wait":
            now += number * MICROSECONDS
        elif under_way:
            asked, _, expected = under_way.pop(number % len(under_way))
            if step == "give up":
                asked.give_up()
            else:
                assert asked.answer() == expected
    for asked, _, expected in under_way:
        assert asked.answer() == expected


def await_read(asked: Asked) -> None:
    """Wait until the server has decided: its answer lies in the connection that asked."""
    assert asked._taken.connection.can_read(timeout=5)


# -- the same bytes ----------------------------------------------------------------


def sent_by(counter: RedisCounter, question: Question) -> bytes:
    return b"".join(counter._packed_by(Connection(), question).command)


LIMITS = st.builds(
    lambda pk, name, kind, amount, shadow, policy: Limit(
        pk, name, kind[0], amount, kind[1], kind[2], shadow, policy
    ),
    st.integers(1, 3),
    st.sampled_from(["a", "b"]),
    st.sampled_from(
        [("window", 1, ""), ("window", 60, ""), ("quota", 0, "day"), ("quota", 0, "month")]
    ),
    st.integers(1, 3),
    st.booleans(),
    st.sampled_from(["local", "closed"]),
)
QUESTIONS = st.builds(
    Question,
    st.sampled_from(["p", "q", "ip:192.0.2.1"]),
    st.lists(LIMITS, min_size=1, max_size=3).map(tuple),
    st.integers(1, 3),
    st.booleans(),
)


def on_the_wire(question: Question) -> object:
    """What the script is told of a question; names and what happens without a store are ours."""
    limits = tuple((x.pk, x.calendar, x.amount, x.period, x.shadow) for x in question.limits)
    return question.principal, limits, question.cost, question.commit


@settings(max_examples=200)
@given(first=QUESTIONS, second=QUESTIONS, change=st.booleans())
def test_two_questions_are_the_same_bytes_if_and_only_if_they_are_the_same(first, second, change):
    if change:  # Two that are drawn alone are hardly ever near each other.
        second = Question(second.principal, first.limits, first.cost, first.commit)
    counter, other = RedisCounter(lambda: None, "test"), RedisCounter(lambda: None, "test")
    same = sent_by(counter, first) == sent_by(other, second)
    assert same == (on_the_wire(first) == on_the_wire(second))
    # What was packed before is as good as what is packed now.
    for question in (second, first, second):
        assert sent_by(counter, question) == sent_by(RedisCounter(lambda: None, "test"), question)
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
    ],
)
def test_another_question_is_other_bytes(change):
    counter = RedisCounter(lambda: None, "test")
    question = Question("p", (WINDOW, QUOTA), 1, True)
    before = sent_by(counter, question)
    assert sent_by(counter, question._replace(**change)) != before
    assert sent_by(counter, question) == before


def test_another_prefix_is_other_bytes():
    question = Question("p", (WINDOW,), 1, True)
    first, second = (RedisCounter(lambda: None, prefix) for prefix in ("a", "b"))
    assert sent_by(first, question) != sent_by(second, question)


def test_an_amount_that_changes_is_asked_for_at_once(counter):
    assert counter.decide("p", [WINDOW], 60).allowed
    assert not counter.decide("p", [WINDOW], 60).allowed
    assert counter.decide("p", [replace(WINDOW, amount=120)], 60).allowed
    assert not counter.decide("p", [WINDOW], 60).allowed


def test_what_is_remembered_of_questions_is_bounded(monkeypatch, redis_client):
    monkeypatch.setattr(module, "MAX_PACKED", 10)
    counter = RedisCounter(lambda: redis_client, "test")
    for number in range(100):
        counter.decide(f"p{number}", [WINDOW], 1)
    assert len(counter._packed) <= 20
    assert counter.decide("p0", [WINDOW], 1).counted[0].used == 2
