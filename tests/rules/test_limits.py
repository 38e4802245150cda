from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiguard.rules.limits import Counted, Decision, Limit, rate_limit_headers

ALL = ("x-ratelimit", "draft-6", "draft-10")
NOW = 1_790_000_000_000_001
PER_MINUTE = Limit(1, "per-minute", "window", 100, 60)
PER_DAY = Limit(2, "per-day", "quota", 5000, 0, "day")
PER_MONTH = Limit(3, "per-month", "quota", 50_000, 0, "month")
SECOND = 1_000_000


def counted(limit: Limit, used: int, *, wait: int = 0, reset: int | None = None) -> Counted:
    return Counted(limit, wait == 0, used, wait, reset)


def decide(*rows: Counted) -> Decision:
    return Decision.of(all(row.allowed or row.limit.shadow for row in rows), NOW, rows)


def headers(*rows: Counted, families=ALL) -> dict[str, str]:
    return dict(rate_limit_headers(decide(*rows), families).values())


def test_all_families_say_the_same():
    assert headers(
        counted(PER_MINUTE, 43, reset=11_000_001), counted(PER_DAY, 288, reset=80_213 * SECOND)
    ) == {
        "X-RateLimit-Limit": "100",
        "X-RateLimit-Remaining": "57",
        "X-RateLimit-Reset": "1790000012",
        "RateLimit-Limit": "100",
        "RateLimit-Remaining": "57",
        "RateLimit-Reset": "12",
        "RateLimit-Policy": '"per-minute";q=100;w=60, "per-day";q=5000;w=86400',
        "RateLimit": '"per-minute";r=57;t=12, "per-day";r=4712;t=80213',
    }


@pytest.mark.parametrize(
    ("family", "names"),
    [
        ("x-ratelimit", {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}),
        ("draft-6", {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"}),
        ("draft-10", {"RateLimit-Policy", "RateLimit"}),
    ],
)
def test_a_family_sends_its_own_headers_alone(family, names):
    assert set(headers(counted(PER_MINUTE, 1, reset=5), families=[family])) == names


def test_a_calendar_month_has_no_window():
    assert headers(counted(PER_MONTH, 1, reset=SECOND))["RateLimit-Policy"] == (
        '"per-month";q=50000'
    )


def test_while_nothing_is_used_there_is_no_time_to_wait_for():
    sent = headers(counted(PER_MINUTE, 0))
    assert sent["RateLimit"] == '"per-minute";r=100'
    assert sent["RateLimit-Reset"] == "0"
    assert sent["X-RateLimit-Reset"] == "1790000001"


def test_nothing_is_sent_where_nothing_was_counted():
    assert headers() == {}
    assert headers(counted(PER_MINUTE, 1), families=[]) == {}


def test_shadow_limits_are_never_shown():
    shadow = counted(replace(PER_MINUTE, shadow=True), 100, wait=SECOND, reset=SECOND)
    assert headers(shadow) == {}
    both = decide(shadow, counted(PER_DAY, 1, reset=SECOND))
    assert "per-minute" not in str(rate_limit_headers(both, ALL))
    assert (both.allowed, both.violated, both.retry_after) == (True, (), 0)
    assert both.shadow_violated == (shadow,)


@pytest.mark.parametrize(
    ("rows", "closest"),
    [
        pytest.param(
            [counted(PER_MINUTE, 50), counted(PER_DAY, 2501)], PER_DAY, id="the least share left"
        ),
        pytest.param(
            [counted(PER_DAY, 2500), counted(PER_MINUTE, 50)], PER_DAY, id="ties in tier order"
        ),
        pytest.param(
            [counted(PER_DAY, 5000, wait=0), counted(PER_MINUTE, 99, wait=1)],
            PER_MINUTE,
            id="on a refusal the violated one",
        ),
        pytest.param(
            [counted(PER_MINUTE, 100, wait=9), counted(PER_DAY, 5000, wait=10)],
            PER_DAY,
            id="of several violated ones the one that waits longest",
        ),
        pytest.param(
            [counted(PER_MINUTE, 100, wait=9), counted(PER_DAY, 5000, wait=9)],
            PER_MINUTE,
            id="of two that wait as long the first",
        ),
    ],
)
def test_the_closest_limit_is_described(rows, closest):
    decision = decide(*rows)
    assert decision.closest is not None
    assert decision.closest.limit == closest


@pytest.mark.parametrize(
    ("waits", "seconds"),
    [((1,), 1), ((SECOND,), 1), ((SECOND + 1,), 2), ((SECOND, 30 * SECOND + 1), 31), ((0,), 0)],
)
def test_retry_after_is_whole_seconds_rounded_up(waits, seconds):
    rows = [counted(replace(PER_MINUTE, pk=pk), 100, wait=wait) for pk, wait in enumerate(waits)]
    assert decide(*rows).retry_after == seconds


def test_remaining_is_never_negative():
    assert counted(PER_MINUTE, 250).remaining == 0


ITEM = re.compile(
    r'"(?P<name>[a-z0-9-]{1,64})"(?P<parameters>(?:;[a-z][a-z0-9_.*-]*=-?[0-9]{1,15})*)'
)
names = st.from_regex(r"[a-z0-9-]{1,64}", fullmatch=True)
limits = st.builds(
    Limit,
    st.just(1),
    names,
    st.just("window"),
    st.integers(1, 10**9),
    st.integers(1, 2_678_400),
    st.just(""),
    st.booleans(),
)
rows = st.builds(
    Counted,
    limits,
    st.booleans(),
    st.integers(0, 10**9),
    st.integers(0, 10**13),
    st.none() | st.integers(0, 10**13),
)


@given(st.lists(rows, min_size=1, max_size=6))
def test_lists_are_those_of_rfc_9651_with_all_visible_limits_in_order(given_rows):
    decision = decide(*given_rows)
    sent = rate_limit_headers(decision, ["draft-10"])
    assert all(name == header[0].lower() for name, header in sent.items())
    sent = dict(sent.values())
    for value in sent.values():
        matches = [ITEM.fullmatch(item) for item in value.split(", ")]
        assert all(matches)
        assert [m["name"] for m in matches] == [row.limit.name for row in decision.visible]
    assert bool(sent) == bool(decision.visible)


def test_a_name_is_quoted_as_a_string_of_rfc_9651():
    odd = replace(PER_MINUTE, name='a"b\\c')
    assert headers(counted(odd, 0))["RateLimit"] == r'"a\"b\\c";r=100'


FIELDS = {"pk": 9, "name": "b", "kind": "quota", "amount": 9, "period": 9, "calendar": "day"}
FIELDS |= {"shadow": True, "on_store_failure": "closed"}


@given(limits, st.sampled_from([None, *FIELDS]))
def test_equal_limits_have_the_same_hash_whatever_was_worked_out_of_them(limit, changed):
    again = replace(limit) if changed is None else replace(limit, **{changed: FIELDS[changed]})
    assert (hash(again) == hash(limit)) or again != limit
    assert (again == limit) == (changed is None or getattr(limit, changed) == FIELDS[changed])
    assert {limit: "found"}.get(replace(limit)) == "found"
