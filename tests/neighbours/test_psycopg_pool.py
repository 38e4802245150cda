"""Django's pool of psycopg connections: no thread of apiguard keeps one while it has no query."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.server.load import Call, send, stranger
from tests.server.outage import without_limits
from tests.servers import gunicorn, uvicorn

pytestmark = pytest.mark.slow

THREADS = 8


@pytest.fixture(scope="module")
def demo(demo_on_postgres):
    with demo_on_postgres() as made:
        yield without_limits(made).with_env(
            DJANGO_SETTINGS_MODULE="tests.neighbours.pooled_settings"
        )


def serving(kind, demo):
    if kind == "gunicorn":
        return gunicorn(demo.env, workers=1, threads=THREADS)
    return uvicorn(demo.env)


@pytest.mark.parametrize(
    ("kind", "size"), [("gunicorn", 1), ("uvicorn", 1), ("gunicorn", 2), ("uvicorn", 4)]
)
def test_a_pool_of_any_size_serves_a_new_worker_and_goes_on(demo, kind, size):
    orders = Call("/api/orders", {"X-API-Key": demo.api_keys["acme"]})
    token = Call("/api/users/me", {"Authorization": f"Bearer {demo.jwt}"})
    with (
        serving(kind, demo.with_env(POOL_SIZE=str(size))) as server,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        statuses = Counter()
        # At the start, while policy is refreshed every second, and after a pause without work.
        for pause in (0.0, 0.6, 1.2, 0.0):
            time.sleep(pause)
            calls = [orders, token, stranger()] * 8
            answers = list(pool.map(lambda call: send(server, call), calls))
            statuses.update(answer.status for answer in answers)
        assert statuses == {200: 64, 401: 32}
