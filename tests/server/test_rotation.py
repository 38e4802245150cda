"""A key is rotated under load: nobody who switches in time is refused, no quota begins anew."""

from __future__ import annotations

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.server.conftest import serving
from tests.servers import manage

pytestmark = pytest.mark.slow

CALLERS = 6
CALLS_AFTER_THE_SWITCH = 10
# In the tier of the demonstration's "acme": as many a minute, and as many a day.
MINUTE, DAY = 1_000, 50_000


def rotated(demo, key):
    """The successor of ``key``, whose grace outlasts the test."""
    key_id = key.split("_")[2]
    done = manage(
        *("apiguard", "key", "rotate", key_id, "--grace", "600", "--reason", "yearly", "--json"),
        env=demo.env,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["key"]


def left_today(answer):
    return int(re.search(r'"per-day";r=(\d+)', answer.headers["RateLimit"])[1])


def test_a_person_who_switches_within_the_grace_is_never_refused_and_goes_on_counting(own_demo):
    # What a worker has reserved ahead counts as used until it is returned.
    exact = own_demo.with_env(APIGUARD_LEASES="false")
    with serving("gunicorn", exact, workers=4) as site:
        old = site.demo.api_keys["acme"]
        current, switched, stop = [old], threading.Event(), threading.Event()

        def call(_):
            """Call with whatever key is current; a few times more once it is the new one."""
            answers, left = [], CALLS_AFTER_THE_SWITCH
            while left and not stop.is_set() and len(answers) < MINUTE // CALLERS - 20:
                left -= switched.is_set()
                key = current[0]
                answer = site.get("/api/plain", {"X-API-Key": key})
                answers.append((key, answer.status, left_today(answer)))
                if not switched.is_set():
                    stop.wait(0.05)
            return answers

        with ThreadPoolExecutor(CALLERS) as pool:
            calls = [pool.submit(call, number) for number in range(CALLERS)]
            try:
                new = rotated(own_demo, old)
                current[0] = new
                switched.set()
                answers = [answer for each in calls for answer in each.result(60)]
            finally:
                stop.set()
        still_good = site.get("/api/plain", {"X-API-Key": old})
        last = site.get("/api/plain", {"X-API-Key": new})
        log = site.server.log()
    assert {status for _, status, _ in answers} == {200}
    assert {key for key, _, _ in answers} == {old, new}
    assert (still_good.status, last.status) == (200, 200)
    # Each call took one off the same quota, whichever key it came with.
    left = [remaining for _, _, remaining in answers]
    assert len(set(left)) == len(left), log
    assert max(left) == DAY - 1
    assert left_today(last) == DAY - len(answers) - 2
