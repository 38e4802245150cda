"""A PostgreSQL that goes away under a site of several workers, and what the site answers."""

from __future__ import annotations

import os
import shlex
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from tests.demo_site import DemoSite, make_demo_site
from tests.server.load import Answer, Call, many_workers, stranger, stream
from tests.servers import Server, clean_environment, spawn, wait_until
from tests.stores import _accepts, _unprivileged, postgres_server

# Workers must have looked since the database is back. The longest pause is ten seconds; the
# rest is for a machine that is busy with other tests.
RECOVERY_SECONDS = 60.0
PAUSE = 0.05


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def hanging(postgres: Server) -> Iterator[None]:
    """The whole PostgreSQL is stopped: old connections and new ones wait for ever."""
    stopped = [postgres.process.pid]
    postgres.process.pause()
    for child in _children(postgres.process.pid):
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGSTOP)
            stopped.append(child)
    try:
        yield
    finally:
        for pid in reversed(stopped):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextmanager
def shut_down(postgres: Server) -> Iterator[None]:
    """PostgreSQL is shut down at once, and started again on the same data and port."""
    process = postgres.process
    os.kill(process.pid, signal.SIGQUIT)
    process.popen.wait(30)
    try:
        yield
    finally:
        with tempfile.TemporaryDirectory(prefix="apiguard-again-") as folder:
            command = shlex.split(process.command)
            data = command[command.index("-D") + 1]
            again = spawn(
                command, folder=Path(folder), cwd=data, env=clean_environment(), **_unprivileged()
            )
            process.popen, process.log_path = again.popen, again.log_path
            wait_until(lambda: _accepts(postgres.port), again)


OUTAGES = {"hanging": hanging, "shut down": shut_down}


@dataclass(slots=True)
class Seen:
    """What a site answered before, during and after an outage."""

    known: list[Answer] = field(default_factory=list)
    unknown: list[Answer] = field(default_factory=list)
    began: float = 0.0
    ended: float = 0.0

    def during(self, answers: Sequence[Answer]) -> list[Answer]:
        """Those sent and answered while the database was away."""
        return [a for a in answers if self.began <= a.sent and a.received < self.ended]

    def refused(self, answers: Sequence[Answer]) -> list[tuple[float, str, int]]:
        """Seconds since the outage began, worker and status of whatever was not a 200."""
        return [(a.sent - self.began, a.worker, a.status) for a in answers if a.status != 200]

    def has_recovered(self, workers: int) -> bool:
        """Whether every worker has asked the database about a stranger since it is back."""
        asked = {a.worker for a in self.unknown if a.sent > self.ended and a.status == 401}
        return len(asked) == workers

    def recovered_after(self) -> float:
        """Seconds from the end of the outage to the last 503."""
        late = [a.received for a in self.unknown if a.status == 503 and a.received > self.ended]
        return max(late, default=self.ended) - self.ended


@contextmanager
def site_on_postgres() -> Iterator[tuple[DemoSite, Server]]:
    """The demonstration on a PostgreSQL of its own, with limits that nobody reaches."""
    with postgres_server() as postgres:
        yield without_limits(make_demo_site(postgres.base_url)), postgres


def without_limits(demo: DemoSite) -> DemoSite:
    """The same site on PostgreSQL with limits that nobody reaches from one address."""
    with psycopg.connect(demo.env["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(
            "UPDATE apiguard_limit SET amount = 100000000 WHERE kind <> 'concurrent'"
        )
    return demo.with_env(APIGUARD_FAILED_CREDENTIALS_LIMIT="null")


def statuses(answers: Sequence[Answer]) -> dict[int, int]:
    """Status -> how often."""
    return dict(Counter(answer.status for answer in answers))


def endure(
    demo: DemoSite,
    postgres: Server,
    outage: Callable[[Server], AbstractContextManager[None]],
    seconds: float,
    *,
    workers: int = 4,
    threads: int = 1,
) -> Seen:
    """Call the site from known clients and from strangers while the database goes and returns."""
    seen = Seen()
    known = Call("/api/plain", {"X-API-Key": demo.api_keys["acme"]})
    with ExitStack() as stack:
        server = stack.enter_context(many_workers(demo.env, workers=workers, threads=threads))
        _have_all_begun(server, known, workers)
        stack.enter_context(stream(server, lambda: known, 6, PAUSE, seen.known.append))
        _until(lambda: len({a.worker for a in seen.known}) == workers)
        stack.enter_context(stream(server, stranger, 2, 4 * PAUSE, seen.unknown.append))
        time.sleep(1)
        seen.began = time.monotonic()
        with outage(postgres):
            time.sleep(seconds)
            seen.ended = time.monotonic()
        _until(lambda: seen.has_recovered(workers))
    return seen


def _have_all_begun(server: Server, call: Call, workers: int) -> None:
    """Wait until every worker has served the call; starting all at once may take them long."""
    answers: list[Answer] = []
    with stream(server, lambda: call, 6, PAUSE, answers.append):
        _until(lambda: len({a.worker for a in answers if a.status == 200}) == workers)


def _until(holds: Callable[[], bool]) -> None:
    """Wait until it holds; whoever looks at the answers sees whether it ever did."""
    deadline = time.monotonic() + RECOVERY_SECONDS
    while time.monotonic() < deadline and not holds():
        time.sleep(0.1)
