from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import assume, given
from hypothesis import strategies as st

from apiguard.rules.key_life import KeyState, key_state, succession

NOW = datetime(2030, 1, 1, tzinfo=UTC)
seconds = st.integers(-(10**8), 10**8).map(lambda number: timedelta(seconds=number))
instants = seconds.map(NOW.__add__)
perhaps = st.none() | instants


def test_the_end_itself_is_over_and_the_beginning_itself_is_not_early():
    facts = {"revoked": False, "not_before": NOW, "expires_at": None}
    assert key_state(NOW, **facts) is KeyState.VALID
    assert key_state(NOW, **{**facts, "expires_at": NOW}) is KeyState.EXPIRED


def test_only_what_cannot_be_undone_is_final():
    assert [state for state in KeyState if state.is_final] == [KeyState.REVOKED, KeyState.EXPIRED]


@given(grace=seconds, age=seconds, begins=perhaps, ends=perhaps, life=st.none() | seconds)
def test_no_rotation_makes_a_key_live_longer_or_end_before_it_begins(
    grace, age, begins, ends, life
):
    assume(ends is None or ends > NOW)
    assume(begins is None or ends is None or ends > begins)
    made = NOW - abs(age)
    start = begins or made
    planned = ends if ends is not None and life is None else (life and start + abs(life)) or ends
    assume(planned is None or planned > start)
    times = succession(NOW, grace, made=made, begins=begins, ends=ends, planned_end=planned)
    if times.old_ends is not None:
        assert NOW < times.old_ends <= NOW + grace
        assert ends is None or times.old_ends <= ends
        assert begins is None or times.old_ends > begins
    assert times.begins == (begins if begins is not None and begins > NOW else None)
    assert (times.ends is None) is (planned is None)
    if times.ends is not None and planned is not None:
        assert times.ends - (times.begins or NOW) == planned - start
