"""A steady stream of requests to a site of several workers, and what came back from each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import urllib3

from apiguard.rules.keys import generate
from tests.servers import Server, gunicorn

NAMED = "tests.server.named_workers:application"
NO_ANSWER = 0
# Which worker gave an answer; see ``named_workers``.
HEADER = "X-Worker"

# Room for as many threads as any run uses.
_pool = urllib3.PoolManager(maxsize=64)


@dataclass(frozen=True, slots=True)
class Call:
    """What to send."""

    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; moments are of the monotonic clock. ``NO_ANSWER``: nothing did."""

    call: Call
    worker: str
    sent: float
    received: float
    status: int
    headers: Mapping[str, str]

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.received - self.sent


def send(server: Server, call: Call, timeout: float = 60) -> Answer:
    """Send one request on a connection of its own, so that any worker may take it."""
    sent = time.monotonic()
    headers = {"Connection": "close", **call.headers}
    try:
        answer = _pool.request(
            *(call.method, server.base_url + call.path),
            headers=headers,
            timeout=timeout,
            retries=False,
        )
    except urllib3.exceptions.HTTPError as error:
        return Answer(call, "", sent, time.monotonic(), NO_ANSWER, {"Error": str(error)})
    received = time.monotonic()
    worker = answer.headers.get(HEADER, "")
    return Answer(call, worker, sent, received, answer.status, answer.headers)


def stranger() -> Call:
    """A call with a key of the right form that no row has."""
    return Call("/api/plain", {"X-API-Key": generate("ag", "live").text})


@contextmanager
def stream(
    server: Server,
    next_call: Callable[[], Call],
    threads: int,
    pause: float,
    seen: Callable[[Answer], None],
) -> Iterator[None]:
    """Send calls from ``threads``, each ``pause`` seconds after the answer to the one before.

    Every answer is handed to ``seen``, in the thread that got it.
    """
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            seen(send(server, next_call()))
            stop.wait(pause)

    senders = [threading.Thread(target=run, daemon=True) for _ in range(threads)]
    for sender in senders:
        sender.start()
    try:
        yield
    finally:
        stop.set()
        for sender in senders:
            sender.join()


@contextmanager
def many_workers(env: Mapping[str, str], *, workers: int = 4, threads: int = 1) -> Iterator[Server]:
    """The site under gunicorn, with workers that say who they are."""
    with gunicorn(env, workers=workers, threads=threads, application=NAMED) as server:
        yield server
