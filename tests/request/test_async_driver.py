"""In an event loop the stages block nobody, and a request that is ended loses nothing."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest
from asgiref.sync import async_to_sync
from django.db import connection

from apiguard.counters.base import LimitCheck
from apiguard.policy import load, lookups
from apiguard.request import async_driver
from apiguard.request.async_driver import LoopThreads, run_async
from apiguard.request.effects import ClaimLookUp, LookUpKey
from apiguard.request.request_id import current_ids, ids_of
from tests.request.site import Call, guarded, route

CHECK = LimitCheck("client:1", (), 1)


@pytest.fixture
def context():
    with guarded(route(), look_up=True) as snapshot:
        yield Call().context(snapshot)


@pytest.fixture
def ran(monkeypatch):
    """Names of the threads in which effects that block were performed."""
    names = []

    def perform(effect, context):
        names.append(threading.current_thread().name)
        return "answer"

    monkeypatch.setattr(async_driver, "perform", perform)
    return names


def stage_of(*effects):
    answers = []
    for effect in effects:
        answers.append((yield effect))  # noqa: PERF401 - a comprehension cannot yield
    return answers


def test_limits_are_counted_in_a_thread_of_their_own_kind(context, ran):
    assert asyncio.run(run_async(stage_of(CHECK, CHECK), context)) == ["answer", "answer"]
    assert {name.rpartition("_")[0] for name in ran} == {"apiguard-limits"}


@pytest.mark.parametrize("is_inline", [False, True])
def test_a_key_is_looked_up_where_its_transaction_can_be_seen(context, ran, monkeypatch, is_inline):
    monkeypatch.setattr(lookups.Table, "is_read_inline", is_inline)
    asyncio.run(run_async(stage_of(LookUpKey("nobody")), context))
    assert ran[0].startswith("apiguard-look-ups") is not is_inline


@pytest.mark.django_db
def test_a_look_up_in_a_test_sees_the_rows_of_the_test(context, monkeypatch):
    seen = []
    monkeypatch.setattr(load, "key", lambda key_id: seen.append(connection.in_atomic_block))

    async def look_up():
        return await run_async(stage_of(LookUpKey("nobody")), context)

    async_to_sync(look_up)()
    assert seen == [True]


def test_what_raises_in_a_thread_raises_in_the_stage(context, monkeypatch):
    def perform(effect, context):
        raise RuntimeError("a defect")

    monkeypatch.setattr(async_driver, "perform", perform)
    with pytest.raises(RuntimeError, match="a defect"):
        asyncio.run(run_async(stage_of(CHECK), context))


def test_a_log_line_of_the_thread_has_the_id_of_its_request(context, monkeypatch):
    seen = []
    monkeypatch.setattr(async_driver, "perform", lambda *_: seen.append(current_ids.get()))
    ids = ids_of({"HTTP_X_REQUEST_ID": "abc"}, context.settings)

    async def ask():
        current_ids.set(ids)
        await run_async(stage_of(CHECK), context)

    asyncio.run(ask())
    assert seen == [ids]


def test_a_request_that_is_ended_does_not_end_what_has_begun(context, monkeypatch):
    begun, go_on, counted = threading.Event(), threading.Event(), threading.Event()

    def perform(effect, context):
        begun.set()
        go_on.wait(10)
        counted.set()

    monkeypatch.setattr(async_driver, "perform", perform)

    async def hang_up():
        task = asyncio.ensure_future(run_async(stage_of(CHECK), context))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not counted.is_set()
        go_on.set()

    asyncio.run(hang_up())
    assert counted.wait(10)


def test_a_slow_database_does_not_hold_up_limits(context, monkeypatch):
    go_on = threading.Event()
    monkeypatch.setattr(lookups.Table, "is_read_inline", False)

    def perform(effect, context):
        return "counted" if isinstance(effect, LimitCheck) else go_on.wait(10)

    monkeypatch.setattr(async_driver, "perform", perform)

    async def ask():
        waiting = [
            asyncio.ensure_future(run_async(stage_of(LookUpKey(str(number))), context))
            for number in range(50)
        ]
        counted = await asyncio.wait_for(run_async(stage_of(CHECK), context), 10)
        go_on.set()
        await asyncio.gather(*waiting)
        return counted

    assert asyncio.run(ask()) == ["counted"]


def test_threads_are_few_and_serve_every_loop(context):
    threads = LoopThreads("few", most=2)
    names = set()

    async def ask():
        async def name():
            names.add(await threads.call(lambda: threading.current_thread().name))

        await asyncio.gather(*(name() for _ in range(40)))

    asyncio.run(ask())
    asyncio.run(ask())
    assert 1 <= len(names) <= 2


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own():
    threads = LoopThreads("forked", most=1)

    async def ask():
        return await threads.call(os.getpid)

    assert asyncio.run(ask()) == os.getpid()
    child = os.fork()
    if child == 0:
        is_own = asyncio.run(ask()) == os.getpid()
        os._exit(0 if is_own else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_nothing_is_sent_to_a_thread_that_memory_can_answer(context, ran):
    assert asyncio.run(run_async(stage_of(ClaimLookUp("ip:192.0.2.1")), context)) == [True]
    assert ran == []
