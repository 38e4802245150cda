"""Counts round trips: the SQL queries of this thread, the commands that a Redis receives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import redis


class Commands:
    """The commands that a Redis receives between two marks, read by MONITOR."""

    def __init__(self, client: redis.Redis, monitor: Any) -> None:
        self._client, self._monitor = client, monitor
        self._marks = 0

    def until_now(self) -> list[str]:
        """The commands since the last call, without those of scripts and marks."""
        self._marks += 1
        mark = f"mark-{self._marks}"
        self._client.echo(mark)
        seen: list[str] = []
        while True:
            entry = self._monitor.next_command()
            if entry["command"] == f"ECHO {mark}":
                return seen
            if entry["client_type"] != "lua":
                seen.append(entry["command"].split(" ")[0].upper())


def commands_of(client: redis.Redis, call: Callable[[], object]) -> list[str]:
    """The names of the commands that one call sends to the server."""
    with client.monitor() as monitor:
        commands = Commands(client, monitor)
        commands.until_now()
        call()
        return commands.until_now()


def microseconds_in_redis(client: redis.Redis, call: Callable[[], object], times: int) -> float:
    """What the server spends on one call; what a script calls is part of the script."""
    names = {name.lower() for name in commands_of(client, call)}
    client.config_resetstat()
    for _ in range(times):
        call()
    stats = client.info("commandstats")
    return sum(stats[f"cmdstat_{name}"]["usec"] for name in names) / times


@contextmanager
def counted_queries() -> Iterator[list[str]]:
    """The queries of this thread while the block runs."""
    from django.db import connections

    seen: list[str] = []

    def wrapper(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
        seen.append(sql)
        return execute(sql, *args)

    with ExitStack() as stack:
        for connection in connections.all():
            stack.enter_context(connection.execute_wrapper(wrapper))
        yield seen
