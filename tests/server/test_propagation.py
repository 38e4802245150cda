"""A change saved in the admin is enforced by every worker within two seconds.

Two seconds are twice ``POLICY_MAX_AGE``: after that no worker may answer by
the policy that it held before, however idle it was.
"""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from tests.server.conftest import prepared, serving
from tests.server.desk import Desk
from tests.servers import CHECKOUT, clean_environment, manage

pytestmark = pytest.mark.slow

WORKERS = 2
BOUND = 2.0
ORIGIN = "https://new.example.com"


@pytest.fixture(scope="module", params=["gunicorn", "uvicorn"])
def site(request, demo_template, redis_url, tmp_path_factory):
    demo = prepared(demo_template, tmp_path_factory.mktemp("changed"), redis_url)
    with serving(request.param, demo, workers=WORKERS) as served:
        yield served


@pytest.fixture(scope="module")
def desk(site):
    return Desk(site)


def stored(site, query, *values):
    path = site.demo.env["DATABASE_URL"].removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, timeout=20)) as connection:
        return connection.execute(query, values).fetchone()[0]


def worker_of(site):
    """Request id -> worker, from the access log; uvicorn does not write one."""
    return {
        this_id: worker
        for worker, this_id in re.findall(r"worker=<(\d+)> id=(\S+)", site.server.log())
    }


def answers_of_all_workers(site, ask):
    """Many answers, at the same time, on fresh connections, until each worker gave some."""
    answers, workers = [], set()
    for _ in range(10):
        with ThreadPoolExecutor(8) as pool:
            answers += pool.map(lambda _: ask(), range(40))
        if site.kind != "gunicorn":
            return answers
        known = worker_of(site)
        workers = {known.get(answer.headers["X-Request-ID"]) for answer in answers} - {None}
        if len(workers) == WORKERS:
            return answers
    raise AssertionError(f"Only {workers} answered.")


@pytest.fixture
def everywhere(site):
    def ask(method, path, headers):
        answers = answers_of_all_workers(site, lambda: site.call(method, path, headers))
        return {answer.status for answer in answers}

    return ask


def test_an_origin_that_was_added_is_allowed(site, desk, everywhere):
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
    assert everywhere("OPTIONS", "/api/orders", asked) == {403}
    policy = stored(site, "SELECT id FROM apiguard_corspolicy WHERE name = 'browser-apps'")
    desk.send("/admin/apiguard/allowedorigin/add/", pattern=ORIGIN, policy=str(policy))
    time.sleep(BOUND)
    assert everywhere("OPTIONS", "/api/orders", asked) == {204}
    origin = stored(site, "SELECT id FROM apiguard_allowedorigin WHERE pattern = ?", ORIGIN)
    desk.send(f"/admin/apiguard/allowedorigin/{origin}/delete/", post="yes")
    time.sleep(BOUND)
    assert everywhere("OPTIONS", "/api/orders", asked) == {403}


def test_a_limit_that_was_lowered_refuses(site, desk, everywhere):
    assert everywhere("GET", "/api/users/me", site.alice) == {200}
    tier = stored(site, "SELECT id FROM apiguard_tier WHERE slug = 'standard'")
    path = f"/admin/apiguard/tier/{tier}/change/"
    fields = desk.fields(path, "limits-0-rate")
    name = next(name for name, values in fields.items() if values == ["per-minute"])
    desk.send(path, **{name.replace("-name", "-rate"): "7 per minute"})
    time.sleep(BOUND)
    assert everywhere("GET", "/api/users/me", site.alice) == {429}


def test_a_key_that_was_revoked_is_refused(site, desk, everywhere):
    assert 401 not in everywhere("GET", "/api/users/me", site.acme)
    key_id = site.demo.api_keys["acme"].split("_")[2]
    key = stored(site, "SELECT id FROM apiguard_apikey WHERE key_id = ?", key_id)
    desk.send(f"/admin/apiguard/apikey/{key}/revoke/", reason="found in a public log")
    time.sleep(BOUND)
    assert everywhere("GET", "/api/users/me", site.acme) == {401}


def test_a_route_that_only_observes_refuses_nothing_and_counts_what_it_would_have(
    site, desk, everywhere
):
    assert everywhere("GET", "/api/plain", {}) == {401}
    route = stored(site, "SELECT id FROM apiguard_route WHERE path_prefix = '/api/'")
    desk.send(f"/admin/apiguard/route/{route}/change/", mode="observe")
    time.sleep(BOUND)
    assert everywhere("GET", "/api/plain", {}) == {200}
    unasked = site.get("/api/plain", {"Origin": "https://evil.example", "X-Request-ID": "seen"})
    assert unasked.headers["X-Request-ID"] == "seen"
    assert "X-RateLimit-Limit" not in unasked.headers
    assert "WWW-Authenticate" not in unasked.headers

    def told(outcome):
        return stored(
            site,
            "SELECT coalesce(sum(count), 0) FROM apiguard_hourlycount"
            " WHERE NOT enforced AND route_pk = ? AND outcome = ?",
            *(route, outcome),
        )

    for _ in range(300):
        if told("no_credential") >= 40 and told("foreign_origin"):
            break
        time.sleep(0.1)
    assert told("no_credential") >= 40
    assert told("foreign_origin") == 1
    desk.send(f"/admin/apiguard/route/{route}/change/", mode="enforce")
    time.sleep(BOUND)
    assert everywhere("GET", "/api/plain", {}) == {401}


def test_what_another_process_changes_is_enforced_too(site, everywhere):
    assert everywhere("POST", "/health", {}) == {405}
    change = (
        "from apiguard.models import Route; Route.objects.filter(name='health').update(mode='off')"
    )
    done = manage("shell", "--no-imports", "-c", change, env=site.demo.env)
    assert done.returncode == 0, done.stderr
    time.sleep(BOUND)
    assert everywhere("GET", "/health", {"Origin": "https://evil.example"}) == {200}
    assert "X-RateLimit-Limit" not in site.get("/health").headers


def test_four_workers_on_postgres_see_every_change_in_time_and_judge_by_one_revision(tmp_path):
    path, count = tmp_path / "figures.json", 12
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.propagation"),
            *("--changes", str(count), "--workers", "4", "--json", str(path)),
        ],
        cwd=CHECKOUT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert path.exists(), done.stderr
    figures = json.loads(path.read_text())
    assert (figures["changes"], len(figures["workers"])) == (count, 4)
    assert (figures["mixed"], figures["relapses"], figures["failed"]) == (0, 0, 0)
    assert figures["checked"] > 0
    kept = figures["promises"]
    assert kept["in force within 2 x POLICY_MAX_AGE and a reload"], figures["all"]
