"""``apiguard check`` names the workers that lag, and ends with status 1 for them."""

from __future__ import annotations

import pytest
import redis
from django.test import override_settings

from apiguard import conf
from apiguard.models import PolicyState, Tier
from apiguard.telemetry.heartbeats import Heartbeat
from apiguard.telemetry.worker_registry import registry_for

NEVER_LOOKS = {"POLICY_MAX_AGE": None}
LOCAL = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}


@pytest.fixture
def registry(redis_url, db):
    options = {"SOCKET_TIMEOUT": 20, "SOCKET_CONNECT_TIMEOUT": 20}
    cache = {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": redis_url,
        "OPTIONS": options,
    }
    Tier.objects.create(slug="a", name="A")
    with override_settings(CACHES={"default": LOCAL, "apiguard": cache}, APIGUARD=NEVER_LOOKS):
        yield registry_for(conf.current())


@pytest.fixture
def good(registry):
    state = PolicyState.objects.get()
    return Heartbeat(state.revision, state.stamp, 0.2, 0.6)


def test_workers_in_step_are_in_order(run, registry, good):
    registry.write("web-1:7", good.text())
    registry.write("web-2:7", good.text())
    said = run("check")
    assert said.status == 0
    line = f"Workers: 2 of 2 workers on revision {good.revision}, slowest 0.6 s."
    assert line in said.out.splitlines()
    told = run("check", "--json").json["workers"]
    assert (told["unseen"], told["revision"], told["slowest"]) == (None, good.revision, 0.6)
    assert [(row["process"], row["state"]) for row in told["workers"]] == [
        ("web-1:7", "current"),
        ("web-2:7", "current"),
    ]


def test_no_worker_has_sent_a_heartbeat(run, registry):
    said = run("check")
    assert said.status == 0
    assert "Workers: No worker has reported in the last 15 minutes." in said.out.splitlines()


def test_a_worker_whose_looks_fail_is_a_problem(run, registry, good):
    registry.write("web-1:7", good.text())
    registry.write(
        "web-2:7", Heartbeat(1, "old", failing=9.0, error="OperationalError: away").text()
    )
    said = run("check", "--json")
    assert said.status == 1
    (problem,) = said.json["workers"]["problems"]
    assert problem.startswith("web-2:7 is on revision 1, its database check fails since ")
    assert problem.endswith(": OperationalError: away")
    assert problem in said.err
    lines = run("check").out.splitlines()
    assert any(line.startswith("    web-2:7 is on revision 1, its database") for line in lines)
    assert any("See that its machine reaches the database." in line for line in lines)


def test_a_worker_that_holds_what_was_replaced_long_ago_is_a_problem(run, registry, good):
    PolicyState.objects.update(changed_at="2020-01-01T00:00Z")
    registry.write("web-2:7", Heartbeat(good.revision, "another", 0.2).text())
    said = run("check", "--json")
    assert said.status == 1
    assert said.json["workers"]["workers"][0]["state"] == "lagging"


def test_a_worker_that_finds_other_mistakes_is_told_and_no_problem(run, registry, good):
    registry.write("web-1:7", good.text())
    registry.write("web-2:7", Heartbeat(good.revision, good.stamp, problems=1).text())
    said = run("check")
    assert said.status == 0
    assert "    web-2:7 finds more mistakes (1) in the same policy" in said.out


@pytest.mark.parametrize("garbage", [b"garbage", b"1.0 {}", b"\xff\xfe", b""])
def test_garbage_where_workers_leave_word_harms_nobody(run, registry, redis_url, garbage):
    with redis.Redis.from_url(redis_url) as client:
        client.hset(registry.key, b"\xff:1", garbage)
        assert run("check").status == 0
        client.delete(registry.key)
        client.set(registry.key, garbage)
        said = run("check", "--json")
    assert said.status == 0
    assert said.json["workers"]["unseen"] == "ResponseError"
