"""Keys that a new worker has not seen, very many at once: good ones are let in, none waits long."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.server.load import Call, send, stranger
from tests.server.outage import site_on_postgres
from tests.servers import gunicorn, manage, uvicorn

pytestmark = pytest.mark.slow

GOOD, UNKNOWN = 50, 150
MAKE = """
import json
from apiguard.models import ApiKey, Client
client = Client.objects.get(slug="acme")
print(json.dumps([ApiKey.objects.issue(client, f"cold {n}")[1] for n in range(%d)]))
"""


@pytest.fixture(scope="module")
def site():
    with site_on_postgres() as (demo, _postgres):
        made = manage("shell", "--no-imports", "-c", MAKE % GOOD, env=demo.env)
        assert made.returncode == 0, made.stderr
        yield demo, json.loads(made.stdout.splitlines()[-1])


def serving(kind, demo):
    if kind == "gunicorn":
        return gunicorn(demo.env, workers=1, threads=64)
    return uvicorn(demo.env)


@pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])
def test_every_good_key_is_let_in_beside_a_flood_of_unknown_ones(site, kind):
    demo, keys = site
    good = [Call("/api/plain", {"X-API-Key": key}) for key in keys]
    calls = [*(stranger() for _ in range(UNKNOWN))]
    for number, call in enumerate(good):
        calls.insert(number * 4, call)
    with serving(kind, demo) as server, ThreadPoolExecutor(len(calls)) as pool:
        answers = list(pool.map(lambda call: send(server, call), calls))
    assert Counter(a.status for a in answers if a.call in good) == {200: GOOD}
    assert Counter(a.status for a in answers if a.call not in good) == {401: UNKNOWN}
