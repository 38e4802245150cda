"""Drives the stages in an event loop, with a few threads for what blocks.

Django gives each request under ASGI a thread of its own, and starting it costs several
times as much as a Redis command. These threads stay, and serve all requests and loops
of the process. A coroutine that is cancelled does not stop its thread: what a command
has counted is noted there, and the connection returns to its pool.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import TypeVar

from asgiref.sync import sync_to_async

from ..counters.base import LimitCheck
from ..policy import lookups
from .context import GuardContext
from .effects import (
    BLOCKS,
    Effect,
    LookUpKey,
    LookUpUser,
    Steps,
    perform,
    perform_in_memory,
)

R = TypeVar("R")


class LoopThreads:
    """At most ``most`` threads, for any number of event loops; other calls wait their turn."""

    def __init__(self, name: str, most: int) -> None:
        self._name, self._most = name, most
        self._start()
        # The threads of the parent do not exist in a forked child.
        os.register_at_fork(after_in_child=self._start)

    def _start(self) -> None:
        self._pool = ThreadPoolExecutor(self._most, thread_name_prefix=self._name)

    async def call(self, work: Callable[..., R], *arguments: object) -> R:
        """Return what ``work`` returns, or raise what it raises."""
        # The context carries the request id into log lines.
        run = copy_context().run
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, run, work, *arguments)

    def start(self, work: Callable[..., object], *arguments: object) -> None:
        """Have ``work`` done without waiting for it; code outside of an event loop does it itself.

        ``work`` must not raise: nothing reports its exception.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            work(*arguments)
        else:
            self._pool.submit(copy_context().run, partial(work, *arguments))

    def wait_for(self, work: Callable[..., R], *arguments: object) -> R:
        """Return the same to code that cannot await; the loop of such code stands still meanwhile.

        Code outside of an event loop does the work itself.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return work(*arguments)
        return self._pool.submit(copy_context().run, work, *arguments).result()


limit_threads = LoopThreads("apiguard-limits", most=16)
# Of their own, so that a slow database or issuer does not hold up limits that can be counted.
lookup_threads = LoopThreads("apiguard-look-ups", most=8)


async def run_async(steps: Steps[R], context: GuardContext) -> R:
    """Drive a stage to its end as ``effects.run`` does, without blocking the loop."""
    try:
        effect = next(steps)
        while True:
            answer = perform_in_memory(effect, context)
            if answer is BLOCKS:
                answer = await _perform(effect, context)
            effect = steps.send(answer)
    except StopIteration as stop:
        result: R = stop.value
        return result


async def _perform(effect: Effect, context: GuardContext) -> object:
    if isinstance(effect, LimitCheck):
        return await limit_threads.call(perform, effect, context)
    if _is_read_inline(effect):
        # The thread that Django keeps for this request has the transaction that is to be seen.
        return await sync_to_async(perform)(effect, context)
    return await lookup_threads.call(perform, effect, context)


def _is_read_inline(effect: Effect) -> bool:
    if isinstance(effect, LookUpKey):
        return lookups.keys.is_read_inline
    return isinstance(effect, LookUpUser) and lookups.users.is_read_inline
