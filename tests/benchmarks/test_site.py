"""The cases that need nobody else's packages answer, and cost the round trips that they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import compare, keys_growth
from benchmarks.site.cases import CASES, GUARD_ALONE, PEER_APPS
from benchmarks.stage import BenchmarkFailed, Stage, acting, run, set_up

OURS = [case for case in CASES if not set(case.apps) & set(PEER_APPS)]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stage(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    folder: Path = tmp_path_factory.mktemp("bench")
    return set_up(folder, redis_url, GUARD_ALONE)


@pytest.fixture
def alone(stage):
    name = GUARD_ALONE.name
    with acting({name: stage.environment(GUARD_ALONE)}, {name: ["{}"]}) as actors:
        yield actors[name]


def test_a_warm_request_takes_the_round_trips_that_are_promised(stage, redis_url):
    environments = {case.name: stage.environment(case) for case in OURS}
    arguments = {case.name: [json.dumps(dict(stage.headers(case)))] for case in OURS}
    with acting(environments, arguments) as actors:
        assert compare.count(stage, actors) == {
            "bare": (0, 0),
            "floor": (0, 1),
            "apiguard-key": (0, 1),
            "apiguard-jwt": (0, 1),
            "apiguard-leases": (0, 0),
            "apiguard-memory": (0, 0),
        }
        took = actors["apiguard-key"].ask("time", requests=3)
        assert len(took) == 3
        profile = actors["apiguard-key"].ask("profile", requests=3)
        expected = {"middleware.py", "request/credentials.py", "counters/redis.py"}
        assert expected <= {line["file"] for line in profile}
        assert expected <= set(actors["apiguard-key"].ask("files"))
        assert actors["bare"].ask("files") == []


def test_growth_is_measured_from_the_smallest_to_the_largest(alone, redis_url):
    most = {"origins": 3, "routes": 4, "limits": 1000}
    grown = alone.ask("growth", most=most, rounds=2)
    assert {row["most"] for row in grown.values()} == {3, 4, 1000}
    assert all(row["small"] > 0 and row["large"] > 0 for row in grown.values())


def test_a_flood_costs_the_good_client_no_query(alone, stage, redis_url):
    flooded = alone.ask("floods", credentials=stage.credentials, first=3, rounds=1)
    assert [row["queries"] for row in flooded.values()] == [0, 0, 0]


def test_many_keys_are_made_and_used(stage, redis_url):
    grown = keys_growth.measure(stage, 1000, 1)
    assert [row.most for row in grown.values()] == [1000, 1000]


def test_a_process_that_fails_is_no_figure(stage, redis_url):
    with pytest.raises(BenchmarkFailed):
        run(stage.environment(GUARD_ALONE), "benchmarks.many_keys", "no number")
