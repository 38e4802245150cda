"""The recipe that changes a pepper, step by step, with processes of two deployments at once."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing

import pytest
import urllib3

from tests.servers import gunicorn

pytestmark = pytest.mark.slow

OLD, NEW = ("demo", "demo-site-pepper-" * 3), ("2027", "another-pepper-" * 3)

# The settings of the deployments, in the order of docs/credentials.md.
ONLY_OLD, NEW_SECOND, NEW_FIRST = [OLD], [OLD, NEW], [NEW, OLD]


def deployed(site, peppers):
    """One worker with these peppers."""
    env = site.with_env(APIGUARD_KEY_PEPPERS=json.dumps(dict(peppers))).env
    return gunicorn(env, workers=1)


def answer(server, site):
    headers = {"X-API-Key": site.api_keys["acme"]}
    url = f"{server.base_url}/api/users/me"
    return urllib3.request("GET", url, headers=headers, retries=False)


def status(server, site):
    return answer(server, site).status


def pepper_of(site):
    """The pepper that the key's row names."""
    path = site.env["DATABASE_URL"].removeprefix("sqlite:///")
    query = "SELECT pepper_id FROM apiguard_apikey WHERE key_id = ?"
    key_id = site.api_keys["acme"].split("_")[2]
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query, [key_id]).fetchone()[0]


def wait_for_pepper(site, pepper_id):
    """Wait until the key's row names this pepper."""
    for _ in range(300):
        if pepper_of(site) == pepper_id:
            return
        time.sleep(0.1)
    pytest.fail(f"The key was not rehashed with {pepper_id}.")


def test_each_deployment_of_the_recipe_works_beside_the_one_before(demo_site_in_memory):
    site = demo_site_in_memory
    with deployed(site, NEW_SECOND) as second:
        with deployed(site, ONLY_OLD) as old:
            assert [status(old, site), status(second, site)] == [200, 200]
        with deployed(site, NEW_FIRST) as first:
            assert status(first, site) == 200
            wait_for_pepper(site, NEW[0])
            # Beside the new deployment, and after a roll-back, the rehashed key works.
            assert status(second, site) == 200


def test_a_roll_back_from_a_new_pepper_that_came_first_at_once_asks_to_retry(
    demo_site_in_memory,
):
    site = demo_site_in_memory
    with deployed(site, NEW_FIRST) as first:
        assert status(first, site) == 200
        wait_for_pepper(site, NEW[0])
    with deployed(site, ONLY_OLD) as rolled_back:
        refused = answer(rolled_back, site)
        assert (refused.status, refused.json()["error"]) == (503, "service_unavailable")
        assert refused.headers["Retry-After"] == "1"
    with deployed(site, NEW_SECOND) as forward:
        assert status(forward, site) == 200
