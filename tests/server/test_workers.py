"""Every worker says which policy it holds; the desk and ``apiguard check`` name those that lag."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import redis

from apiguard.telemetry.heartbeats import Heartbeat
from apiguard.telemetry.worker_registry import WorkerRegistry
from tests.demo_site import copy_of
from tests.server.conftest import patient, prepared, serving
from tests.server.desk import Desk
from tests.servers import manage
from tests.stores import redis_server

pytestmark = pytest.mark.slow

WORKERS = 3
CHANGE = (
    "from apiguard.models import Route; Route.objects.filter(name='health').update(cost={cost})"
)


@pytest.fixture(scope="module")
def store():
    with redis_server() as server:
        yield server


@pytest.fixture
def registry(store):
    with redis.Redis(port=store.port, socket_timeout=20) as client:
        client.flushdb()
        yield WorkerRegistry(lambda: client, "apiguard:{workers}")


@pytest.fixture
def demo(demo_template, store, tmp_path):
    return prepared(demo_template, tmp_path, f"{store.base_url}/0")


def keep_busy(*sites):
    """Many requests at the same time, so that each worker gets some."""
    with ThreadPoolExecutor(8) as pool:
        for site in sites:
            list(pool.map(lambda _, site=site: site.get("/health"), range(40)))


def said(registry):
    return {word.process: Heartbeat.parse(word.text) for word in registry.read()}


def eventually(holds, *sites):
    """Keep all workers busy until it holds; what it gave last."""
    for _ in range(60):
        keep_busy(*sites)
        if found := holds():
            return found
        time.sleep(0.3)
    raise AssertionError("It did not come to pass.")


def check(demo):
    done = manage("apiguard", "check", "--json", env=demo.env)
    return done, json.loads(done.stdout)["workers"]


def change(demo, cost):
    done = manage("shell", "--no-imports", "-c", CHANGE.format(cost=cost), env=demo.env)
    assert done.returncode == 0, done.stderr


def states(told):
    return {worker["process"]: worker["state"] for worker in told["workers"]}


def words(desk):
    _url, page = desk.open("/admin/apiguard/overview/")
    return page


@pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])
def test_all_workers_are_on_the_revision_of_a_change_and_take_their_leave(demo, registry, kind):
    with serving(kind, demo, workers=WORKERS) as site:
        desk = Desk(site)
        eventually(lambda: len(said(registry)) == WORKERS, site)
        before = max(heartbeat.revision for heartbeat in said(registry).values())
        change(demo, cost=2)

        def all_follow():
            heartbeats = said(registry).values()
            return {heartbeat.revision for heartbeat in heartbeats} == {before + 1} and heartbeats

        for heartbeat in eventually(all_follow, site):
            assert heartbeat.delay is not None
            assert (heartbeat.failing, heartbeat.problems) == (None, 0)
        keep_busy(site)
        done, told = check(demo)
        assert (done.returncode, told["problems"]) == (0, [])
        assert (told["unseen"], told["revision"]) == (None, before + 1)
        assert len(told["workers"]) == WORKERS
        assert "lagging" not in states(told).values()
        assert re.search(rf"workers? on revision {before + 1}, slowest [\d.]+ s\.", words(desk))
    assert said(registry) == {}


def test_a_worker_that_stands_still_is_idle_and_does_not_lag(demo, registry):
    with serving("gunicorn", demo, workers=WORKERS) as site:
        eventually(lambda: len(said(registry)) == WORKERS, site)
        stopped = sorted(said(registry))[0]
        pid = int(stopped.rpartition(":")[2])
        assert pid != site.server.process.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            change(demo, cost=3)

            def stands_still():
                ages = {word.process: word.age for word in registry.read()}
                return ages[stopped] > 6

            eventually(stands_still, site)
            done, told = check(demo)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert done.returncode == 0
        assert states(told)[stopped] == "idle"
        assert set(states(told).values()) <= {"current", "idle"}

        def follows():
            return said(registry)[stopped].revision == told["revision"]

        eventually(follows, site)


@contextmanager
def beside(demo_template, store, folder):
    """Another machine of the same site: one worker, on a copy of the database."""
    folder.mkdir()
    demo = copy_of(demo_template, folder).with_env(REDIS_URL=patient(f"{store.base_url}/0"))
    with serving("gunicorn", demo, workers=1) as site:
        yield site


def test_a_worker_on_another_database_lags_and_one_without_fails(
    demo, registry, demo_template, store, tmp_path
):
    with (
        serving("gunicorn", demo, workers=1) as site,
        beside(demo_template, store, tmp_path / "other") as other,
    ):
        desk = Desk(site)
        change(demo, cost=4)
        # To look at the page costs less than to run the command.
        shown = eventually(lambda: page if "1 lags" in (page := words(desk)) else None, site, other)
        told = eventually(lambda: _with_state(demo, "lagging"), site, other)
        (lagging,) = (worker for worker in told["workers"] if worker["state"] == "lagging")
        assert lagging["revision"] == told["revision"] - 1
        assert lagging["process"] in shown

        (tmp_path / "other").rename(tmp_path / "gone")
        named = f"{lagging['process']} is on revision {lagging['revision']}, its database check"
        eventually(lambda: named in words(desk), site, other)
        told = eventually(lambda: _with_state(demo, "failing"), site, other)
        (failing,) = (worker for worker in told["workers"] if worker["state"] == "failing")
        assert failing["process"] == lagging["process"]
        assert "OperationalError" in failing["error"]


def _with_state(demo, state):
    done, told = check(demo)
    if state not in states(told).values():
        return None
    (process,) = (row["process"] for row in told["workers"] if row["state"] == state)
    assert done.returncode == 1
    assert process in done.stderr
    return told


def test_without_redis_the_desk_answers_and_sees_itself_alone(demo, demo_template):
    with redis_server() as own:
        demo = demo.with_env(REDIS_URL=f"{own.base_url}/0")
        with serving("gunicorn", demo, workers=2, threads=2) as site:
            desk = Desk(site)
            own.process.pause()
            page = words(desk)
            assert "other workers cannot be seen" in page
            assert "This worker is on revision" in page
            own.process.resume()
            own.process.kill()
            assert "does not answer (ConnectionError)" in words(desk)
            done, told = check(demo)
            assert (done.returncode, told["workers"]) == (1, [])
            assert told["unseen"] == "ConnectionError"


def test_with_the_memory_counter_a_worker_speaks_for_itself(demo):
    demo = demo.with_env(REDIS_URL="")
    with serving("gunicorn", demo, workers=2) as site:
        page = words(Desk(site))
        assert "This worker is on revision" in page
        assert "other workers cannot be seen" in page
        assert check(demo)[1]["unseen"] == "memory"
