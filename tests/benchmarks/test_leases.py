"""The commands that leases save are counted."""

from __future__ import annotations

import pytest

from apiguard.rules.limits import Limit
from benchmarks.leases.commands import commands_per_request

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("amount", "rate", "least", "most"),
    [
        pytest.param(255, 3, 1.0, 1.0, id="a small limit"),
        pytest.param(10_000, 20, 0.0, 0.3, id="a large one"),
    ],
)
def test_requests_of_a_busy_caller_need_few_commands(redis_url, amount, rate, least, most):
    from redis import Redis

    limit = Limit(1, "limit", "window", amount, 60)
    with Redis.from_url(redis_url) as client:
        found = commands_per_request(client, limit, rate, 2, seconds=10)
    assert least <= found <= most
