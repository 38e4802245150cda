"""Rate-limit headers are RFC 9651: read back by a library that knows nothing of ours."""

from __future__ import annotations

import http_sfv
from hypothesis import given
from hypothesis import strategies as st

from apiguard.rules.limits import MICROSECONDS, Counted, Decision, Limit, rate_limit_headers

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=64)
LIMITS = st.one_of(
    st.builds(
        Limit,
        pk=st.integers(1, 9),
        name=NAMES,
        kind=st.just("window"),
        amount=st.integers(1, 10**9),
        period=st.integers(1, 31 * 86400),
    ),
    st.builds(
        Limit,
        pk=st.integers(1, 9),
        name=NAMES,
        kind=st.just("quota"),
        amount=st.integers(1, 10**9),
        period=st.just(0),
        calendar=st.sampled_from(["day", "month"]),
    ),
)
COUNTED = st.builds(
    Counted,
    limit=LIMITS,
    allowed=st.booleans(),
    used=st.integers(0, 10**9),
    wait=st.integers(0, 31 * 86400 * MICROSECONDS),
    reset=st.none() | st.integers(1, 31 * 86400 * MICROSECONDS),
)


@given(st.lists(COUNTED, min_size=1, max_size=8))
def test_both_lists_say_of_every_limit_what_was_decided(counted):
    decision = Decision.of(
        allowed=all(one.allowed for one in counted),
        now=1_795_000_000_000_000,
        counted=tuple(counted),
    )
    headers = dict(rate_limit_headers(decision, ("draft-10",)).values())
    policies, limits = http_sfv.List(), http_sfv.List()
    policies.parse(headers["RateLimit-Policy"].encode())
    limits.parse(headers["RateLimit"].encode())
    for one, policy, limit in zip(counted, policies, limits, strict=True):
        assert policy.value == limit.value == one.limit.name
        window = one.limit.window_seconds
        expected = (
            {"q": one.limit.amount} if window is None else {"q": one.limit.amount, "w": window}
        )
        assert dict(policy.params) == expected
        assert limit.params["r"] == max(0, one.limit.amount - one.used)
        assert ("t" in limit.params) == (one.reset is not None)
        if one.reset is not None:
            assert limit.params["t"] == -(-one.reset // MICROSECONDS)
