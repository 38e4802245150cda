"""A worker that was stopped for a while answers nothing by its old policy."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.server.load import Call, many_workers, send
from tests.server.outage import without_limits
from tests.servers import manage

pytestmark = pytest.mark.slow

# Longer than twice POLICY_MAX_AGE.
SLEEP = 2.5
CHANGE = """
from apiguard.models import HeaderPolicy
policy = HeaderPolicy.objects.get(name="api")
policy.headers.create(name="X-Seen-{threads}", value="new", mode="force")
"""


@pytest.fixture(scope="module")
def demo(demo_on_postgres):
    with demo_on_postgres() as made:
        yield without_limits(made)


@pytest.mark.parametrize("threads", [1, 8])
def test_a_worker_that_slept_looks_before_it_answers(demo, threads):
    call, seen = Call("/health"), f"X-Seen-{threads}"
    with (
        many_workers(demo.env, workers=1, threads=threads) as server,
        ThreadPoolExecutor(8) as pool,
    ):
        before = send(server, call)
        assert (before.status, before.headers.get(seen)) == (200, None)
        worker = int(before.worker)
        os.kill(worker, signal.SIGSTOP)
        try:
            done = manage(
                "shell", "--no-imports", "-c", CHANGE.format(threads=threads), env=demo.env
            )
            assert done.returncode == 0, done.stderr
            answers = [pool.submit(send, server, call) for _ in range(8)]
            time.sleep(SLEEP)
        finally:
            os.kill(worker, signal.SIGCONT)
        assert {answer.result().headers.get(seen) for answer in answers} == {"new"}
        assert {answer.result().worker for answer in answers} == {before.worker}
