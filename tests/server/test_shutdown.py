"""Orderly ends of real workers: counts are written, and no worker is left in the registry."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from contextlib import closing

import pytest
import redis

from apiguard.telemetry.worker_registry import WorkerRegistry
from tests.server.calls import Site
from tests.server.conftest import OPTIONS, prepared, serving
from tests.servers import gunicorn
from tests.stores import redis_server

pytestmark = pytest.mark.slow

REFUSALS = 40


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


def refusals_of(demo):
    path = demo.env["DATABASE_URL"].removeprefix("sqlite:///")
    query = "SELECT COALESCE(SUM(count), 0) FROM apiguard_hourlycount"
    with closing(sqlite3.connect(path, timeout=20)) as connection:
        return connection.execute(query).fetchone()[0]


def wait_for(holds):
    for _ in range(300):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError("It did not come to pass.")


def be_refused(site, times=REFUSALS):
    assert {site.get("/api/users/me").status for _ in range(times)} == {401}


def is_signed_on(registry):
    return bool(registry.read())


@pytest.mark.parametrize(
    ("kind", "workers"),
    [("gunicorn", 1), ("gunicorn", 2), ("uvicorn", 1), ("uvicorn", 2)],
)
def test_a_server_that_is_stopped_loses_no_count_and_leaves_no_worker(
    demo, registry, kind, workers
):
    with serving(kind, demo, workers=workers) as site:
        wait_for(lambda: site.get("/api/plain") and is_signed_on(registry))
        before = refusals_of(demo)
        be_refused(site)
        # The block's end stops it at once, within the second after which counts are written.
    assert refusals_of(demo) >= before + REFUSALS
    assert registry.read() == []


def test_a_uvicorn_server_still_ends_by_the_signal_that_it_was_sent(demo):
    with serving("uvicorn", demo) as site:
        be_refused(site, 1)
        process = site.server.process.popen
        process.terminate()
        assert process.wait(30) == -signal.SIGTERM


def test_gunicorn_workers_that_are_replaced_lose_no_count(demo, registry):
    with serving("gunicorn", demo, workers=1) as site:
        wait_for(lambda: site.get("/api/plain") and is_signed_on(registry))
        (old,) = {entry.process for entry in registry.read()}
        be_refused(site)
        os.kill(site.server.process.pid, signal.SIGHUP)
        wait_for(lambda: site.get("/api/plain") and is_signed_on(registry))
        wait_for(lambda: old not in {entry.process for entry in registry.read()})
        assert refusals_of(demo) >= REFUSALS


def test_gunicorn_workers_that_end_after_so_many_requests_lose_no_count(demo):
    # The health check of the test's own is one of the requests.
    options = (*OPTIONS["gunicorn"], "--max-requests", "30")
    with gunicorn(demo.env, workers=1, options=options) as server:
        be_refused(Site("gunicorn", server, demo), 90)
    assert refusals_of(demo) == 90
