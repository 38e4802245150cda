"""The benchmark with a Redis that is a millisecond away."""

from __future__ import annotations

from urllib.parse import urlsplit

from redis import Redis

from benchmarks.distant_redis import CASES, table
from tests.stores import relay


def test_the_relay_passes_everything_on(redis_url):
    port = urlsplit(redis_url).port
    with relay(port, seconds=0.001) as away, Redis(port=away) as client:
        value = bytes(range(256)) * 4096
        assert client.set("relayed", value)
        assert client.get("relayed") == value


def test_the_added_time_is_given_for_the_median_and_the_slowest():
    took = {name: [1000.0] * 99 + [2000.0] for name in CASES} | {"bare": [400.0] * 100}
    took["apiguard-key"] = [550.0] * 100
    rows = {row[0]: row[1:] for row in table(took).rows}
    assert rows["(b) apiguard, key"] == ["550", "550", "150", "150", "0.25"]
    assert rows["(d) peers, key"][2] == "600"
