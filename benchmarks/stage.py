"""Where everything is measured: one Redis, one database per case, processes that take turns."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from benchmarks.site.cases import EVERYTHING, Case
from tests.servers import CHECKOUT, clean_environment

ANSWER_SECONDS = 300
TEMPLATE = "everything.sqlite3"


class BenchmarkFailed(Exception):
    """A process did not do what it was told; it has said why on standard error."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Files of this run, its Redis, and the headers that carry each credential."""

    folder: Path
    redis_url: str
    credentials: Mapping[str, Mapping[str, str]]

    def environment(self, case: Case, database: Path | None = None) -> dict[str, str]:
        """What a process of this case is given; the same seed of hashes for all."""
        file = database or self.folder / f"{case.name}.sqlite3"
        if not file.exists():
            shutil.copyfile(self.folder / TEMPLATE, file)
        return environment(case, file, self.redis_url)

    def headers(self, case: Case) -> Mapping[str, str]:
        """The request headers that carry this case's credential."""
        return self.credentials[case.credential] if case.credential else {}

    def arguments(self, case: Case) -> list[str]:
        """What a worker of this case is called with."""
        return [json.dumps(dict(self.headers(case)))]

    def empty(self) -> None:
        """Nothing is counted yet: every bout begins alike."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushdb()


def environment(case: Case, database: Path, redis_url: str) -> dict[str, str]:
    """The environment of a process that is ``case``."""
    return clean_environment(
        {
            "DJANGO_SETTINGS_MODULE": "benchmarks.site.settings",
            "BENCH_CASE": case.name,
            "BENCH_DATABASE": str(database),
            "BENCH_REDIS": redis_url,
            "PYTHONHASHSEED": "0",
        }
    )


def run(env: Mapping[str, str], module: str, *arguments: str, stdin: str = "") -> Any:
    """What a program of ours prints as JSON.

    Raises:
        BenchmarkFailed: it failed.
    """
    done = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-m", module, *arguments],
        env=dict(env),
        cwd=CHECKOUT,
        input=stdin,
        stdout=subprocess.PIPE,
        text=True,
        timeout=ANSWER_SECONDS,
        check=False,
    )
    if done.returncode:
        raise BenchmarkFailed(f"{module} failed; standard error says why.")
    return json.loads(done.stdout)


def set_up(folder: Path, redis_url: str, case: Case = EVERYTHING) -> Stage:
    """Make the database that every case gets a copy of; ``case`` says what is in it."""
    file = folder / TEMPLATE
    credentials = run(environment(case, file, redis_url), "benchmarks.site.rows")
    # A copy of the file alone must be all of it.
    for left in ("-wal", "-shm"):
        if file.with_name(file.name + left).exists():
            raise BenchmarkFailed("The database was not closed.")
    return Stage(folder, redis_url, credentials)


class Actor:
    """A worker process, told one task at a time."""

    def __init__(self, popen: subprocess.Popen[str], name: str) -> None:
        self._popen, self._name = popen, name

    def ask(self, do: str, **task: Any) -> Any:
        """The worker's answer.

        Raises:
            BenchmarkFailed: it ended instead; what it said is on standard error.
        """
        stdin, stdout = self._popen.stdin, self._popen.stdout
        if stdin is None or stdout is None:
            raise BenchmarkFailed("It has no pipes.")
        try:
            stdin.write(json.dumps({"do": do, **task}) + "\n")
            stdin.flush()
        except BrokenPipeError as error:
            raise BenchmarkFailed(f"{self._name} has ended.") from error
        line = stdout.readline()
        if not line:
            raise BenchmarkFailed(f"{self._name} has ended.")
        return json.loads(line)

    def stop(self) -> None:
        """End it."""
        # Leaving the block closes the pipes.
        with self._popen:
            self._popen.kill()


@contextmanager
def acting(
    environments: Mapping[str, Mapping[str, str]], arguments: Mapping[str, Sequence[str]]
) -> Iterator[dict[str, Actor]]:
    """One worker per name, all alive at once; only the one that is asked does anything."""
    actors: dict[str, Actor] = {}
    try:
        for name, env in environments.items():
            command = [sys.executable, "-m", "benchmarks.worker", *arguments[name]]
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            popen = subprocess.Popen(  # noqa: S603 - ours
                command, env=dict(env), cwd=CHECKOUT, text=True, **pipes
            )
            actors[name] = Actor(popen, name)
        yield actors
    finally:
        for actor in actors.values():
            actor.stop()
