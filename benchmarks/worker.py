"""One process that is one case; the coordinator tells it what to do, and when.

    BENCH_CASE=... python -m benchmarks.worker '{"X-API-Key": "..."}'

Every line on standard input is a task, every line on standard output its
answer, both JSON. So the cases take turns, and whatever else the machine does
hits all of them alike.
"""

from __future__ import annotations

import cProfile
import json
import logging
import os
import pstats
import sys
from dataclasses import asdict, replace
from typing import Any

import django
from django.core.wsgi import get_wsgi_application

from benchmarks.attribution import lines
from benchmarks.calls import App, called_files, environ, timed
from benchmarks.round_trips import counted_queries
from benchmarks.site.cases import BY_NAME

# Of every bout the first are not counted: another process was on this core just now.
WARM_UP = 5


class Worker:
    """The site of one case."""

    def __init__(self, app: App, path: str, headers: dict[str, str]) -> None:
        self._app, self._path, self._headers = app, path, headers

    def do(self, task: dict[str, Any]) -> Any:
        """The answer to a task: ``{"do": "time", "count", ..., ...}``."""
        kind = task.pop("do")
        answer: Any = getattr(self, f"do_{kind}")(**task)
        return answer

    def do_time(self, requests: int) -> list[int]:
        """Nanoseconds of so many requests."""
        asked = environ(self._path, self._headers)
        took = [timed(self._app, asked) for _ in range(requests + WARM_UP)]
        return took[WARM_UP:]

    def do_count(self) -> int:
        """SQL queries of one request."""
        with counted_queries() as queries:
            timed(self._app, environ(self._path, self._headers))
        return len(queries)

    def do_files(self) -> list[str]:
        """The files that a request from an address that was not seen before runs."""
        elsewhere = environ(self._path, self._headers, REMOTE_ADDR="198.51.100.7")
        return called_files(self._app, elsewhere)

    def do_keys(self, texts: list[str], forget: bool) -> list[int]:
        """Nanoseconds of one request with each of these keys, but for the first few.

        Args:
            forget: whether this process forgets every key before each request.
        """
        from apiguard.policy.holder import holder
        from apiguard.policy.keyring import Keyring

        snapshot = holder.snapshot()
        if snapshot is None:
            raise SystemExit("There is no policy.")
        took = []
        for text in texts:
            asked = environ(self._path, {"X-API-Key": text})
            now = replace(snapshot, keyring=Keyring()) if forget else snapshot
            with holder.override(now):
                took.append(timed(self._app, asked))
        return took[WARM_UP:]

    def do_profile(self, requests: int) -> list[dict[str, Any]]:
        """The lines of a profile of so many requests; see ``attribution.Line``."""
        asked = environ(self._path, self._headers)
        profiler = cProfile.Profile()
        for _ in range(requests):
            profiler.enable()
            timed(self._app, asked)
            profiler.disable()
        found = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
        return [asdict(line) for line in lines(found, requests)]

    def do_growth(self, **task: Any) -> Any:
        """See ``growth.measure``."""
        from benchmarks import growth

        return growth.measure(self._app, **task)

    def do_floods(self, **task: Any) -> Any:
        """See ``floods.measure``."""
        from benchmarks import floods

        return floods.measure(self._app, **task)


def main() -> None:
    """Answer until standard input ends."""
    django.setup()
    logging.disable(logging.WARNING)
    worker = Worker(
        get_wsgi_application(), BY_NAME[os.environ["BENCH_CASE"]].path, json.loads(sys.argv[1])
    )
    for line in sys.stdin:
        sys.stdout.write(json.dumps(worker.do(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
