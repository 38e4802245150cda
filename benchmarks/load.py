"""A load generator in a process of its own: raw sockets, so that it is not what is measured.

    python -m benchmarks.load TASK

Prints JSON. Where the task does not say otherwise, every request has a connection of
its own: gunicorn's sync workers keep none open, whoever guards the view.
"""

from __future__ import annotations

import json
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle
from typing import Any

# The whole task ends by then, or fails. A timeout on every socket would cost calls.
TIMEOUT_SECONDS = 120


def request_bytes(path: str, headers: Mapping[str, str]) -> bytes:
    """A GET as it goes over the wire."""
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def begin(port: int, wanted: bytes) -> socket.socket:
    """A connection on which the request was sent."""
    connection = socket.socket()
    connection.connect(("127.0.0.1", port))
    connection.sendall(wanted)
    return connection


def end(connection: socket.socket, statuses: Sequence[int] = (200,)) -> None:
    """Read the answer to its end. gunicorn's worker waits until the connection is closed.

    Raises:
        SystemExit: the answer has none of these statuses.
    """
    answer = connection.recv(65536, socket.MSG_WAITALL)
    connection.close()
    if not answer.startswith(b"HTTP/1.1 ") or int(answer[9:12]) not in statuses:
        raise SystemExit(f"expected {statuses}: {answer[:300]!r}")


def ask(port: int, wanted: bytes, statuses: Sequence[int]) -> None:
    """One request, from begin to end."""
    end(begin(port, wanted), statuses)


@contextmanager
def closing_all(connections: dict[int, socket.socket]) -> Iterator[None]:
    """Whatever is still open when the block ends is closed."""
    try:
        yield
    finally:
        for connection in connections.values():
            connection.close()


def hammer(
    port: int, requests: int, connections: int, path: str, headers: Mapping[str, str]
) -> float:
    """Requests per second, with so many always under way."""
    wanted = request_bytes(path, headers)
    under_way: dict[int, socket.socket] = {}
    left, ended = requests, 0
    started = time.perf_counter()
    with select.epoll() as waiting, closing_all(under_way):
        while ended < requests:
            while left and len(under_way) < connections:
                connection = begin(port, wanted)
                under_way[connection.fileno()] = connection
                # Told once, when all of the answer is here.
                waiting.register(connection, select.EPOLLRDHUP)
                left -= 1
            for number, _ in waiting.poll():
                end(under_way.pop(number))
                ended += 1
    return requests / (time.perf_counter() - started)


def keep_alive(
    port: int, requests: int, connections: int, path: str, headers: Mapping[str, str]
) -> float:
    """Requests per second over connections that stay open, one request at a time on each."""
    wanted = request_bytes(path, headers).replace(b"Connection: close", b"Connection: keep-alive")
    opened: dict[int, socket.socket] = {}
    left, ended = requests, 0
    started = time.perf_counter()
    with select.epoll() as waiting, closing_all(opened):
        for _ in range(min(connections, left)):
            connection = begin(port, wanted)
            opened[connection.fileno()] = connection
            waiting.register(connection, select.EPOLLIN)
            left -= 1
        while ended < requests:
            for number, _ in waiting.poll():
                read_one(opened[number])
                ended += 1
                if left:
                    opened[number].sendall(wanted)
                    left -= 1
    return requests / (time.perf_counter() - started)


def read_one(connection: socket.socket) -> None:
    """Read one answer of a connection that stays open.

    Raises:
        SystemExit: it is not a complete 200.
    """
    answer = b""
    while b"\r\n\r\n" not in answer:
        received = connection.recv(65536)
        if not received:
            raise SystemExit(f"the connection was closed: {answer[:300]!r}")
        answer += received
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"expected 200: {answer[:300]!r}")
    while len(body) < length:
        body += connection.recv(65536)


def hang_up(
    port: int, requests: int, connections: int, path: str, headers: Mapping[str, str]
) -> float:
    """Requests per second whose client goes away at once; so many sockets are open at a time."""
    wanted = request_bytes(path, headers)
    opened: list[socket.socket] = []
    started = time.perf_counter()
    for _ in range(requests):
        opened.append(begin(port, wanted))
        if len(opened) >= connections:
            opened.pop(0).close()
    for connection in opened:
        connection.close()
    return requests / (time.perf_counter() - started)


def paced(seconds: float, per_second: float, do: Callable[[], None]) -> list[float]:
    """Milliseconds that ``do`` took, each time; it begins when it is due."""
    took, begun = [], time.perf_counter()
    for number in range(int(seconds * per_second)):
        time.sleep(max(0.0, begun + number / per_second - time.perf_counter()))
        sent = time.perf_counter()
        do()
        took.append((time.perf_counter() - sent) * 1000)
    return took


def flooded(
    port: int,
    seconds: float,
    per_second: Sequence[float],
    good: dict[str, Any],
    others: list[dict[str, Any]],
    statuses: list[int],
) -> list[float]:
    """Milliseconds of each request of a good client, while others come at a steady rate.

    Args:
        per_second: requests of the good client, and of the others.
        others: what is sent in turn; none for silence.
        statuses: what the others are answered.
    """
    ours = request_bytes(**good)
    theirs = cycle([request_bytes(**one) for one in others])
    rate = per_second[1] if others else 0
    with ThreadPoolExecutor(1) as pool:
        flood = pool.submit(paced, seconds, rate, lambda: ask(port, next(theirs), statuses))
        took = paced(seconds, per_second[0], lambda: ask(port, ours, (200,)))
        flood.result()
    return took


def main() -> None:
    """Do the task that the argument is."""
    signal.alarm(TIMEOUT_SECONDS)
    task = json.loads(sys.argv[1])
    known = {"hammer": hammer, "keep_alive": keep_alive, "hang_up": hang_up, "flooded": flooded}
    do = known[task.pop("do")]
    json.dump(do(**task), sys.stdout)  # type: ignore[operator]


if __name__ == "__main__":
    main()
