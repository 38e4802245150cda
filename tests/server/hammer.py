"""A program: many requests at once from one process, begun when it is told to.

    python -m tests.server.hammer URL THREADS REQUESTS_PER_THREAD

Standard input: a line with the API key, then, when all is ready, one more
line. Standard output: ``ready``, then the statuses as a JSON list.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import urllib3


def statuses(url: str, key: str, count: int) -> list[int]:
    """The statuses of ``count`` requests, each on a connection of its own."""
    headers = {"X-API-Key": key, "Connection": "close"}
    with urllib3.PoolManager() as pool:
        return [
            pool.request("GET", url, headers=headers, retries=False, timeout=60).status
            for _ in range(count)
        ]


def main() -> None:
    """Run it; the arguments are trusted."""
    url, threads, each = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    key = sys.stdin.readline().strip()
    print("ready", flush=True)  # noqa: T201
    sys.stdin.readline()
    with ThreadPoolExecutor(threads) as pool:
        runs = [pool.submit(statuses, url, key, each) for _ in range(threads)]
        print(json.dumps([status for run in runs for status in run.result()]))  # noqa: T201


if __name__ == "__main__":
    main()
