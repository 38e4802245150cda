"""``Expect: 100-continue`` (RFC 9110 section 10.1.1): who waits is told to go on, and judged."""

from __future__ import annotations

import json
import socket
from http.client import HTTPResponse

import pytest

from tests.server.calls import new_address, request_head

pytestmark = pytest.mark.slow

TOO_LONG = 2**20 + 1


def head_of(headers, length, content_type="application/json", expect="100-continue"):
    said = [
        *headers.items(),
        ("X-Forwarded-For", new_address()),
        ("Content-Type", content_type),
        ("Content-Length", str(length)),
        ("Expect", expect),
    ]
    return request_head("POST", "/api/plain", said)


def until_empty_line(connection):
    received = b""
    while b"\r\n\r\n" not in received:
        more = connection.recv(1)
        assert more, received
        received += more
    return received


def test_a_client_that_expects_100_continue_gets_it_and_its_body_arrives(site):
    with socket.create_connection(("127.0.0.1", site.server.port), timeout=30) as connection:
        connection.sendall(head_of(site.acme, 8))
        assert until_empty_line(connection).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b'{"a": 1}')
        with HTTPResponse(connection, method="POST") as answer:
            answer.begin()
            assert (answer.status, json.loads(answer.read())["json"]) == (200, {"a": 1})


@pytest.mark.parametrize(
    ("who", "length", "content_type", "status"),
    [
        pytest.param("acme", 8, "text/plain", 415, id="another type"),
        pytest.param("acme", TOO_LONG, "application/json", 413, id="too long"),
        pytest.param("nobody", 8, "application/json", 401, id="nobody"),
    ],
)
def test_who_does_not_wait_is_refused_like_everybody(site, who, length, content_type, status):
    head = head_of(site.acme if who == "acme" else {}, length, content_type)
    answer = site.exchange(head, b" " * length)
    assert answer is not None
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("expect", ["200-ok", "", "100-continue, x", "\xff"])
def test_another_expectation_breaks_nothing(site, expect):
    answer = site.exchange(head_of(site.acme, 2, expect=expect.encode("latin-1")), b"{}")
    assert answer is not None
    assert answer.status in (200, 400, 417)
