"""Fetched keys under real servers: an outage, a new worker, a hang, a thousand strangers."""

from __future__ import annotations

import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.demo_site import copy_of
from tests.key_server import hang, key_server, serve
from tests.server.conftest import STARTERS, prepared, serving
from tests.servers import manage
from tests.signing import private_key, public_jwk, sign

pytestmark = pytest.mark.slow

ISSUER = "https://issuer.example"
NETWORKS = json.dumps(["127.0.0.0/8"])
KNOWN = public_jwk("ES256", "known")
MAKE = """
from apiguard.models import JwtIssuer
JwtIssuer.objects.create(
    name="remote", issuer={issuer!r}, audiences=["orders"], algorithms=["ES256"], jwks_url={url!r}
)
"""


@pytest.fixture
def issuer(tmp_path):
    with key_server(tmp_path, ("127.0.0.1",)) as server:
        server.behaviour = serve({"keys": [KNOWN]})
        yield server


@pytest.fixture(scope="module")
def template(demo_template, tmp_path_factory):
    """The demonstration with a row of the issuer, which lies nowhere yet."""
    folder = tmp_path_factory.mktemp("issuer")
    demo = copy_of(demo_template, folder)
    code = MAKE.format(issuer=ISSUER, url="https://127.0.0.1/")
    env = {**demo.env, "APIGUARD_JWKS_ALLOWED_NETWORKS": NETWORKS}
    made = manage("shell", "-c", code, env=env)
    assert made.returncode == 0, made.stderr
    return demo, database_of(demo)


def database_of(demo):
    return Path(demo.env["DATABASE_URL"].removeprefix("sqlite:///"))


@pytest.fixture
def demo(template, redis_url, tmp_path, issuer):
    demo = prepared(template, tmp_path, redis_url).with_env(
        APIGUARD_JWKS_ALLOWED_NETWORKS=NETWORKS, APIGUARD_JWKS_CA_FILE=issuer.ca_file
    )
    with closing(sqlite3.connect(database_of(demo), isolation_level=None)) as connection:
        change = "UPDATE apiguard_jwtissuer SET jwks_url = ? WHERE name = 'remote'"
        connection.execute(change, [issuer.url("127.0.0.1")])
    return demo


def bearer(kid="known", number=1):
    claims = {"iss": ISSUER, "aud": "orders", "sub": "carol", "exp": 4_000_000_000}
    text = sign({"alg": "ES256", "kid": kid}, claims, "ES256", private_key("ES256", number))
    return {"Authorization": f"Bearer {text}"}


def ask(site, *args):
    return site.get("/api/users/me", bearer(*args))


def ask_until_fetched(site, *args):
    """Try again as Retry-After says: a fetch may take longer than a request waits for it."""
    for _ in range(60):
        answer = ask(site, *args)
        if answer.status != 503:
            return answer
        assert answer.headers["Retry-After"] == "1"
        time.sleep(0.2)
    raise AssertionError("The keys were not fetched.")


def stored(demo):
    query = "SELECT fetched_jwks FROM apiguard_jwtissuer WHERE name = 'remote'"
    with closing(sqlite3.connect(database_of(demo), timeout=20)) as connection:
        return connection.execute(query).fetchone()[0]


def wait_for_the_copy(demo):
    """It is stored just after the keys are good for something."""
    for _ in range(600):
        if stored(demo):
            return
        time.sleep(0.05)
    raise AssertionError("No copy was stored.")


@pytest.mark.parametrize("kind", sorted(STARTERS))
def test_a_worker_that_starts_during_the_outage_starts_from_the_stored_copy(kind, demo, issuer):
    with serving(kind, demo) as site:
        assert ask_until_fetched(site).status == 200
        wait_for_the_copy(demo)
    issuer.behaviour = hang
    with serving(kind, demo) as site:
        answered = ask(site)
        assert (answered.status, answered.json()["user"]["principal"][-6:]) == (200, ":carol")
        refused = ask(site, "unknown", 2)
        assert (refused.status, refused.json()["error"]) == (503, "service_unavailable")
        assert int(refused.headers["Retry-After"]) >= 1
        assert ask(site).status == 200


def test_known_keys_are_answered_while_a_fetch_hangs_and_strangers_wait(demo, issuer):
    with serving("gunicorn", demo, workers=1, threads=4) as site:
        assert ask_until_fetched(site).status == 200
        wait_for_the_copy(demo)
    issuer.behaviour = hang
    before = len(issuer.requests)
    with serving("gunicorn", demo, workers=1, threads=4) as site, ThreadPoolExecutor(24) as pool:
        strangers = [pool.submit(ask, site, f"unknown-{number}", 2) for number in range(20)]
        known = [pool.submit(ask, site) for _ in range(40)]
        assert {answer.result().status for answer in known} == {200}
        assert {answer.result().status for answer in strangers} == {503}
    assert len(issuer.requests) - before == 1


def test_an_issuer_that_hangs_and_forged_tokens_leave_most_threads_free(demo, issuer):
    issuer.behaviour = hang
    with serving("gunicorn", demo, workers=1, threads=8) as site, ThreadPoolExecutor(40) as pool:
        site.get("/health")
        forged = [pool.submit(ask, site, f"forged-{number}", 2) for number in range(30)]
        others = [pool.submit(site.get, "/health") for _ in range(10)]
        # All of them are answered while the fetch still hangs.
        assert {answer.result().status for answer in others} == {200}
        assert {answer.result().status for answer in forged} == {503}
        assert not issuer.go_on.is_set()
    assert len(issuer.requests) <= 1


def test_a_thousand_unknown_names_cause_one_fetch_per_cool_down(demo, issuer):
    started = time.monotonic()
    with serving("gunicorn", demo, workers=1, threads=4) as site, ThreadPoolExecutor(8) as pool:
        assert ask_until_fetched(site).status == 200
        answers = list(pool.map(lambda number: ask(site, f"unknown-{number}", 2), range(1000)))
        assert ask(site).status == 200
    assert {answer.status for answer in answers} == {401}
    assert len(issuer.requests) <= 1 + (time.monotonic() - started) // 30


def test_a_rotated_set_is_taken_over_with_the_first_new_name(demo, issuer):
    with serving("gunicorn", demo, workers=1, threads=2) as site:
        issuer.behaviour = serve({"keys": [KNOWN, public_jwk("ES256", "next", 2)]})
        assert ask_until_fetched(site, "next", 2).status == 200
        assert ask(site).status == 200
