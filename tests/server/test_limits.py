"""Limits as callers meet them: what headers say, who is refused, when to come back."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest

from tests.server.calls import new_address
from tests.server.conftest import serving
from tests.servers import CHECKOUT, clean_environment, manage

pytestmark = pytest.mark.slow

KINDS = pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])
PROCESSES, THREADS, EACH = 4, 16, 5

QUICK_CLIENT = """
from apiguard.models import *
tier = Tier.objects.create(slug="quick", name="Quick")
Limit.objects.create(tier=tier, name="burst", amount=3, period=2)
client = Client.objects.create(slug="quick", name="Quick", tier=tier)
print(ApiKey.objects.issue(client, "quick", scopes=["orders:read"])[1])
"""


def test_health_shows_what_is_left_of_the_limit(site):
    address = new_address()
    before = int(time.time())
    answers = [site.get("/health", address=address) for _ in range(3)]
    for number, answer in enumerate(answers, start=1):
        told, left = answer.headers, str(60 - number)
        assert (told["X-RateLimit-Limit"], told["X-RateLimit-Remaining"]) == ("60", left)
        assert (told["RateLimit-Limit"], told["RateLimit-Remaining"]) == ("60", left)
        assert told["RateLimit-Policy"] == '"per-minute";q=60;w=60'
        match = re.fullmatch(rf'"per-minute";r={left};t=(\d+)', told["RateLimit"])
        assert match is not None
        assert told["RateLimit-Reset"] == match[1]
        assert before < int(told["X-RateLimit-Reset"])
        assert "Retry-After" not in told


def test_all_limits_of_a_tier_are_reported_in_its_order(site):
    told = site.get("/api/users/me", site.acme).headers
    assert told["RateLimit-Policy"] == '"per-minute";q=1000;w=60, "per-day";q=50000;w=86400'
    pattern = r'"per-minute";r=999;t=\d+, "per-day";r=49999;t=\d+'
    assert re.fullmatch(pattern, told["RateLimit"])


@KINDS
def test_the_hundred_and_first_request_is_refused_and_nobody_else_is(own_demo, kind):
    with serving(kind, own_demo) as site:
        answers = [site.get("/api/users/me", site.hobby) for _ in range(101)]
        others = [site.get("/api/users/me", site.acme), site.get("/health")]
    assert [answer.status for answer in answers] == [200] * 100 + [429]
    last = answers[-1]
    wait = int(last.headers["Retry-After"])
    # What came within a thirty-second part of the window may leave it together.
    assert 1 <= wait <= 62
    assert last.headers["X-RateLimit-Remaining"] == "0"
    assert "no-store" in last.headers["Cache-Control"]
    body = last.json()
    assert body["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert (body["error"], body["retryAfter"]) == ("too_many_requests", wait)
    assert body["violated-policies"] == ["per-minute"]
    assert [answer.status for answer in others] == [200, 200]


def test_limits_are_counted_per_client_from_wherever_it_calls(site):
    first = site.get("/api/users/me", site.hobby, address="10.200.0.1")
    second = site.get("/api/orders", site.hobby, address="10.200.0.2")
    left = [int(answer.headers["X-RateLimit-Remaining"]) for answer in (first, second)]
    assert left == [99, 98]


def test_an_expensive_route_counts_as_ten(site):
    assert site.get("/api/export", site.hobby).headers["X-RateLimit-Remaining"] == "90"


def test_who_is_refused_for_a_missing_scope_is_counted_once(site):
    answer = site.call("POST", "/api/orders", site.hobby, json={"item": "tea"})
    assert (answer.status, answer.headers["X-RateLimit-Remaining"]) == (403, "99")


def test_an_address_is_counted_and_ipv6_by_its_network(site):
    addresses = ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1")
    left = [
        site.get("/health", address=address).headers["X-RateLimit-Remaining"]
        for address in addresses
    ]
    assert left == ["59", "58", "59"]


def first_refusal(site, key):
    """A busy machine may take so long for the first calls that some of the window is over."""
    for _ in range(100):
        answer = site.get("/api/users/me", key)
        if answer.status != 200:
            assert answer.status == 429
            return answer
    raise AssertionError("Nothing was refused.")


@KINDS
def test_a_client_that_waits_for_retry_after_is_admitted(own_demo, kind):
    done = manage("shell", "--no-imports", "-c", QUICK_CLIENT, env=own_demo.env)
    assert done.returncode == 0, done.stderr
    key = {"X-API-Key": done.stdout.strip()}
    with serving(kind, own_demo) as site:
        assert [site.get("/api/users/me", key).status for _ in range(3)] == [200] * 3
        refused = first_refusal(site, key)
        time.sleep(int(refused.headers["Retry-After"]))
        assert site.get("/api/users/me", key).status == 200


def _hammer(url):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.server.hammer", url, str(THREADS), str(EACH)],
        cwd=CHECKOUT,
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@KINDS
def test_four_processes_of_sixteen_threads_get_exactly_what_one_limit_allows(own_demo, kind):
    with ExitStack() as stack:
        site = stack.enter_context(serving(kind, own_demo, workers=4))
        url = f"{site.server.base_url}/api/users/me"
        clients = [stack.enter_context(_hammer(url)) for _ in range(PROCESSES)]
        for client in clients:
            client.stdin.write(own_demo.api_keys["hobby"] + "\n")
            client.stdin.flush()
        assert [client.stdout.readline() for client in clients] == ["ready\n"] * PROCESSES
        for client in clients:
            client.stdin.write("go\n")
            client.stdin.flush()
        statuses = [
            status
            for client in clients
            for status in json.loads(client.communicate(timeout=120)[0])
        ]
    assert len(statuses) == PROCESSES * THREADS * EACH
    assert statuses.count(200) == 100
    assert statuses.count(429) == len(statuses) - 100
