"""A new process beside 200 connections at once: 50 with good keys, 150 with unknown ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

from tests.demo_site import DemoSite
from tests.server.load import Answer, Call, send, stranger
from tests.servers import ServerError, gunicorn, manage, uvicorn

GOOD, UNKNOWN = 50, 150
KINDS = ("gunicorn", "uvicorn")
MAKE = """
import json
from apiguard.models import ApiKey, Client
client = Client.objects.get(slug="acme")
print(json.dumps([ApiKey.objects.issue(client, f"cold {n}")[1] for n in range(%d)]))
"""


def make_keys(demo: DemoSite) -> list[str]:
    """Make ``GOOD`` keys of one client of the site.

    Raises:
        ServerError: it could not be done.
    """
    made = manage("shell", "--no-imports", "-c", MAKE % GOOD, env=demo.env)
    if made.returncode:
        raise ServerError(made.stderr)
    keys: list[str] = json.loads(made.stdout.splitlines()[-1])
    return keys


def serving(kind: str, demo: DemoSite) -> AbstractContextManager[Any]:
    """One worker that answers all connections: gunicorn with 64 threads, or uvicorn."""
    return gunicorn(demo.env, workers=1, threads=64) if kind == "gunicorn" else uvicorn(demo.env)


def call_with_all(server: Any, keys: Sequence[str]) -> tuple[list[Answer], list[Answer]]:
    """Call with all good keys and with others at once: (answers to good ones, to others)."""
    good = [Call("/api/plain", {"X-API-Key": key}) for key in keys]
    calls = [stranger() for _ in range(UNKNOWN)]
    for number, call in enumerate(good):
        calls.insert(number * 4, call)
    with ThreadPoolExecutor(len(calls)) as pool:
        answers = list(pool.map(lambda call: send(server, call), calls))
    return (
        [answer for answer in answers if answer.call in good],
        [answer for answer in answers if answer.call not in good],
    )
