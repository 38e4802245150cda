"""Real servers for the tests: starting, watching and stopping them; the site under two of them.

Every server listens on loopback, on a port that was free a moment ago, writes
to files of its own, and is stopped by its process id when its block ends. A
server that does not start within its time raises with what it logged.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import urllib3

CHECKOUT = Path(__file__).resolve().parent.parent
# Its sitecustomize.py makes starting a process cheaper.
STARTUP = CHECKOUT / "tests" / "startup"
START_SECONDS = 60
STOP_SECONDS = 10

# What a server may inherit; everything else that configures the site is given to it.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "COVERAGE_PROCESS_START")


class ServerError(Exception):
    """A server did not start; the message holds what it logged."""


def free_port() -> int:
    """A loopback port that nobody listens on right now; workers of a run pick different ones."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    while True:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = int(listener.getsockname()[1])
        if port // 2 % workers == worker % workers:  # Linux gives odd ones only, while there are.
            return port


def python_path(*first: Path) -> str:
    """The import path of a child process: ``first``, then the checkout.

    Benchmarks use this module, too; what they measure starts as usual.
    """
    startup = [STARTUP] if "PYTEST_VERSION" in os.environ else []
    return os.pathsep.join(map(str, [*startup, *first, CHECKOUT]))


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment for a program of the site: nothing of the developer's own settings."""
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    fixed = {"SECRETS_FILE": os.devnull, "PYTHONUNBUFFERED": "1", "PYTHONPATH": python_path()}
    return {**kept, **fixed, **(extra or {})}


def manage(
    *arguments: str, env: Mapping[str, str] | None = None, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run ``manage.py`` in a process of its own and return what it said."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=CHECKOUT,
        env=clean_environment(env),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@dataclass(slots=True)
class Process:
    """A child process with its log."""

    command: str
    popen: subprocess.Popen[bytes]
    log_path: Path

    @property
    def pid(self) -> int:
        """The id of the process that was started, not of its workers."""
        return self.popen.pid

    def log(self) -> str:
        """Everything that it wrote until now."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """Ask it to end, then end it; nothing if it has ended already."""
        with suppress(ProcessLookupError):
            self.popen.send_signal(signal.SIGCONT)  # A paused process would not hear the rest.
        self.popen.terminate()
        try:
            self.popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait(STOP_SECONDS)

    def kill(self) -> None:
        """End it without a word, as a crash would."""
        self.popen.kill()
        self.popen.wait(STOP_SECONDS)

    def pause(self) -> None:
        """Stop it from answering while its connections stay open."""
        self.popen.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it answer again."""
        self.popen.send_signal(signal.SIGCONT)


@dataclass(slots=True)
class Server:
    """A server that answers."""

    base_url: str
    port: int
    process: Process

    def log(self) -> str:
        """Everything that it wrote until now."""
        return self.process.log()


def spawn(command: Sequence[str], *, folder: Path, **options: Any) -> Process:
    """Start a program whose output goes to a file in ``folder``."""
    log_path = folder / "log"
    with log_path.open("ab") as log:
        popen = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options
        )
    return Process(shlex.join(command), popen, log_path)


def wait_until(answers: Callable[[], bool], process: Process) -> None:
    """Wait, for a bounded time, until ``answers()`` is true.

    Raises:
        ServerError: the process ended, or the time is over.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.popen.poll() is not None:
            raise ServerError(f"{process.command} ended:\n{process.log()}")
        if answers():
            return
        time.sleep(0.05)
    raise ServerError(f"{process.command} does not answer:\n{process.log()}")


@contextmanager
def running(
    command: Callable[[int], Sequence[str]],
    answers: Callable[[int], bool],
    scheme: str,
    **options: Any,
) -> Iterator[Server]:
    """A server on a free port; once more on another one, if somebody else was faster."""
    with tempfile.TemporaryDirectory(prefix="apiguard-server-") as folder:
        for attempt in range(3):
            port = free_port()
            process = spawn(command(port), folder=Path(folder), **options)
            try:
                wait_until(partial(answers, port), process)
            except ServerError:
                process.stop()
                if attempt == 2 or "in use" not in process.log():
                    raise
                continue
            break
        try:
            yield Server(f"{scheme}://127.0.0.1:{port}", port, process)
        finally:
            process.stop()


def _healthy(port: int) -> bool:
    try:
        response = urllib3.request(
            "GET", f"http://127.0.0.1:{port}/health", timeout=5, retries=False
        )
    except urllib3.exceptions.HTTPError:
        return False
    return response.status == 200


def gunicorn(
    env: Mapping[str, str],
    *,
    workers: int = 2,
    threads: int = 1,
    application: str = "project.wsgi:application",
    options: Sequence[str] = (),
) -> Any:
    """The site under gunicorn, as a context manager that gives a ``Server``."""

    def command(port: int) -> list[str]:
        return [
            *(sys.executable, "-m", "gunicorn", application, "--bind", f"127.0.0.1:{port}"),
            *("--workers", str(workers), "--threads", str(threads)),
            *("--no-control-socket", "--graceful-timeout", "3", *options),
        ]

    return running(command, _healthy, "http", cwd=CHECKOUT, env=clean_environment(env))


def uvicorn(
    env: Mapping[str, str],
    *,
    workers: int = 1,
    application: str = "project.asgi:application",
    options: Sequence[str] = (),
) -> Any:
    """The site under uvicorn, as a context manager that gives a ``Server``."""

    def command(port: int) -> list[str]:
        return [
            *(sys.executable, "-m", "uvicorn", application, "--host", "127.0.0.1"),
            *("--port", str(port), "--workers", str(workers), "--lifespan", "off"),
            *("--timeout-graceful-shutdown", "3", *options),
        ]

    return running(command, _healthy, "http", cwd=CHECKOUT, env=clean_environment(env))
