"""The load generator sends what it is told, and takes no wrong answer for a right one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks import load


class Handler(BaseHTTPRequestHandler):
    """200 for whoever has a key, else 401."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status = 200 if self.headers["X-API-Key"] == "good" else 401
        self.send_response(status)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"x" * 10_000)
        self.server.statuses.append(status)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.statuses = []
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


GOOD = {"path": "/thing", "headers": {"X-API-Key": "good"}}
BAD = {"path": "/thing", "headers": {}}


def test_hammering_sends_exactly_the_number_of_requests_given(server):
    assert load.hammer(server.server_port, 25, 4, **GOOD) > 0
    assert server.statuses == [200] * 25


def test_an_answer_that_was_not_expected_ends_it(server):
    with pytest.raises(SystemExit, match="401"):
        load.hammer(server.server_port, 4, 2, **BAD)


def test_a_flood_comes_beside_the_good_client(server):
    took = load.flooded(server.server_port, 0.2, (50, 100), GOOD, [BAD], [401])
    assert len(took) == 10
    assert server.statuses.count(200) == 10
    assert server.statuses.count(401) == 20


def test_a_flood_that_is_let_in_ends_it(server):
    with pytest.raises(SystemExit, match="200"):
        load.flooded(server.server_port, 0.1, (10, 10), GOOD, [GOOD], [401])
