"""Bodies that come in chunks, of a length that nobody announced."""

from __future__ import annotations

import json

import pytest

from tests.server.calls import chunked, new_address, request_head

pytestmark = pytest.mark.slow


def send(site, path, *chunks):
    headers = [
        *site.acme.items(),
        ("Content-Type", "application/json"),
        ("Transfer-Encoding", "chunked"),
        ("X-Forwarded-For", new_address()),
    ]
    answer = site.exchange(request_head("POST", path, headers), *chunked(*chunks))
    assert answer is not None
    return answer


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([b'{"a": [1, 2]}'], id="one chunk"),
        pytest.param([b'{"a"', b": [1,", b" 2]}"], id="several chunks"),
        pytest.param([bytes([byte]) for byte in b'{"a": [1, 2]}'], id="byte by byte"),
        pytest.param([b'{"a": [1, 2]}' + b" " * (2**20 - 13)], id="exactly what is allowed"),
    ],
)
def test_a_plain_view_gets_all_of_it(site, chunks):
    answer = send(site, "/api/plain", *chunks)
    assert answer.status == 200
    told = json.loads(answer.data)
    assert (told["json"], told["body_bytes"]) == ({"a": [1, 2]}, len(b"".join(chunks)))


def test_a_drf_view_gets_all_of_it(site):
    answer = send(site, "/api/orders", b'{"item": "tea",', b' "quantity": 3}')
    assert answer.status == 201
    placed = json.loads(answer.data)
    assert (placed["item"], placed["quantity"]) == ("tea", 3)


def test_a_chunked_body_without_anything_in_it_is_empty(site):
    answer = send(site, "/api/plain")
    assert (answer.status, json.loads(answer.data)["body_bytes"]) == (200, 0)


@pytest.mark.parametrize("path", ["/api/plain", "/api/orders"])
def test_more_than_a_mebibyte_is_refused(site, path):
    answer = send(site, path, *[b" " * 2**16] * 17)
    assert (answer.status, b"1048576" in answer.data) == (413, True)


def test_who_was_refused_has_not_broken_the_worker(site):
    for _ in range(4):
        send(site, "/api/plain", *[b" " * 2**16] * 40)
    assert send(site, "/api/plain", b"{}").status == 200


@pytest.mark.parametrize("body", [b"zz\r\n", b"-5\r\nabc\r\n", b"3\r\nabcdef\r\n"])
def test_chunks_that_are_none_are_the_callers_mistake(site, body):
    head = request_head(
        "POST",
        "/api/plain",
        [
            ("Transfer-Encoding", "chunked"),
            ("Content-Type", "application/json"),
            *site.acme.items(),
        ],
    )
    answer = site.exchange(head, body)
    assert answer is not None
    assert answer.status == 400
    if site.kind == "gunicorn":  # uvicorn answers by itself.
        assert json.loads(answer.data)["error"] == "invalid_request"
        assert answer.headers["X-Request-ID"]


def test_a_length_beside_chunks_goes_round_no_limit(site):
    head = request_head(
        "POST",
        "/api/plain",
        [
            ("Content-Length", "5"),
            ("Transfer-Encoding", "chunked"),
            ("Content-Type", "application/json"),
            *site.acme.items(),
        ],
    )
    answer = site.exchange(head, *chunked(b'"' + b"x" * 2_000_000 + b'"'))
    assert answer is None or answer.status == 400
