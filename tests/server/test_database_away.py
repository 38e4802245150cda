"""The database goes away under real workers: clients are served, strangers asked to wait."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.server.load import Call, many_workers, send
from tests.server.outage import OUTAGES, endure, hanging, site_on_postgres, statuses

pytestmark = pytest.mark.slow

SECONDS = 5
WORKERS = 4


@pytest.fixture(scope="module")
def site():
    with site_on_postgres() as made:
        yield made


@pytest.mark.parametrize(
    ("outage", "threads"),
    [
        pytest.param("hanging", 1, id="it hangs, under workers of one thread"),
        pytest.param("hanging", 8, id="it hangs, under workers of eight threads"),
        pytest.param("shut down", 1, id="it is shut down at once and started again"),
    ],
)
def test_known_clients_are_served_and_unknown_keys_get_503_with_retry_after(site, outage, threads):
    seen = endure(*site, OUTAGES[outage], SECONDS, workers=WORKERS, threads=threads)
    assert seen.refused(seen.known) == []
    away = seen.during(seen.unknown)
    assert set(statuses(away)) == {503}
    assert all(answer.headers["Retry-After"].isdigit() for answer in away)
    assert seen.has_recovered(WORKERS)
    assert set(statuses(seen.unknown)) == {401, 503}


def test_workers_that_start_without_a_database_refuse_recover_and_say_why_once(site):
    demo, postgres = site
    demo = demo.with_env(APIGUARD_EXEMPT_PATHS='["/health"]')
    known = Call("/api/plain", {"X-API-Key": demo.api_keys["acme"]})
    exempt = Call("/health")
    outage = hanging(postgres)
    outage.__enter__()
    with many_workers(demo.env, workers=2) as server:
        try:
            away = answers_of_both(server, known)
            assert set(statuses(answers_of_both(server, exempt))) == {200}
        finally:
            outage.__exit__(None, None, None)
        assert set(statuses(away)) == {503}
        assert all(answer.headers["Retry-After"].isdigit() for answer in away)
        assert any(
            set(statuses(answers_of_both(server, known))) == {200} or time.sleep(0.5)
            for _ in range(40)
        )
        assert server.log().count("Policy cannot be read (NoAnswer") == 2


def answers_of_both(server, call):
    """Answers to as many calls as it takes to hear of two workers; several at a time.

    One after the other, all could reach the worker that is the faster to accept.
    """
    answers = []
    with ThreadPoolExecutor(8) as pool:
        for _ in range(25):
            answers += pool.map(lambda _: send(server, call), range(8))
            if len({answer.worker for answer in answers}) == 2:
                return answers
    raise AssertionError(answers)
