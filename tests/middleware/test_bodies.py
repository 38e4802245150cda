"""Bodies without Content-Length arrive whole, or are refused; under either gateway."""

from __future__ import annotations

import json
from io import BytesIO

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.test import RequestFactory, override_settings

from tests.request.site import Call, Caller, guarded, no_connection_looked_at, route, tier

BOUNDARY = "xYzZY"
MULTIPART = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="field"\r\n\r\nvalue\r\n'
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n'
    f"Content-Type: application/octet-stream\r\n\r\n{'x' * 300_000}\r\n--{BOUNDARY}--\r\n"
).encode()
MULTIPART_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
FORM = "application/x-www-form-urlencoded"


class Chunks(BytesIO):
    """Gives a little at a time, like a socket, and remembers how much was taken."""

    def __init__(self, body, failing=None):
        super().__init__(body)
        self.taken, self.failing = 0, failing

    def read(self, size=-1):
        if self.failing and self.taken:
            raise self.failing
        piece = super().read(min(size, 1000) if size and size > 0 else 1000)
        self.taken += len(piece)
        return piece


def wsgi(path, body, content_type, *, method="POST", terminated=True, source=None, **extra):
    """Through the whole WSGI handler, with ``Transfer-Encoding: chunked``."""
    request = RequestFactory().generic(method, path)
    environ = {
        **request.environ,
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": "",
        "HTTP_TRANSFER_ENCODING": "chunked",
        "wsgi.input": source or Chunks(body),
        **extra,
    }
    if terminated is not None:
        environ["wsgi.input_terminated"] = terminated
    started = []

    def start_response(status, headers, exc_info=None):
        started.append((int(status.split()[0]), dict(headers)))

    result = WSGIHandler()(environ, start_response)
    content = b"".join(result)
    result.close()
    return *started[0], content


def asgi(path, body, content_type, *, method="POST", chunked=True, **headers):
    """Through the whole ASGI handler, in several messages and without a length."""
    sent = [(b"host", b"testserver")]
    if content_type:
        sent.append((b"content-type", content_type.encode()))
    if chunked:
        sent.append((b"transfer-encoding", b"chunked"))
    sent += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1" if chunked else "2",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": sent,
        "client": ("127.0.0.1", 1),
        "server": ("testserver", 80),
    }

    async def ask():
        application = ApplicationCommunicator(ASGIHandler(), scope)
        pieces = [body[start : start + 70_000] for start in range(0, len(body), 70_000)] or [b""]
        for number, piece in enumerate(pieces, 1):
            more = number < len(pieces)
            await application.send_input({"type": "http.request", "body": piece, "more_body": more})
        start = await application.receive_output(10)
        parts = [await application.receive_output(10)]
        while parts[-1].get("more_body"):
            parts.append(await application.receive_output(10))
        await application.wait(10)
        return start, b"".join(part.get("body", b"") for part in parts)

    start, content = async_to_sync(ask)()
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], found, content


@pytest.fixture(autouse=True)
def _no_connection_is_looked_at():
    with no_connection_looked_at():
        yield


GATEWAYS = pytest.mark.parametrize("gateway", [wsgi, asgi])


@GATEWAYS
@pytest.mark.parametrize("size", [0, 1, 999, 200_000, 3_000_000])
def test_a_body_of_unknown_length_arrives_whole(gateway, size):
    body = bytes(range(256)) * (size // 256) + b"\xff" * (size % 256)
    with guarded(route()), override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=None):
        status, _, content = gateway("/api/echo", body, "application/octet-stream")
    assert (status, content) == (200, body)


@GATEWAYS
def test_a_form_with_a_file_arrives_whole(gateway):
    with guarded(route()):
        status, _, content = gateway("/api/form", MULTIPART, MULTIPART_TYPE)
    assert status == 200
    assert json.loads(content) == {"post": {"field": "value"}, "files": {"file": 300_000}}


@GATEWAYS
def test_a_plain_form_arrives_whole(gateway):
    with guarded(route()):
        status, _, content = gateway("/api/form", b"a=1&b=2", FORM)
    assert (status, json.loads(content)["post"]) == (200, {"a": "1", "b": "2"})


@GATEWAYS
@pytest.mark.parametrize(
    ("body", "content_type", "data"),
    [
        pytest.param(b'{"a": "1"}', "application/json", {"a": "1"}, id="JSON"),
        pytest.param(b"a=1", FORM, {"a": "1"}, id="a form"),
        pytest.param(MULTIPART, MULTIPART_TYPE, {"field": "value"}, id="multipart"),
    ],
)
def test_drf_sees_the_data(gateway, body, content_type, data):
    with guarded(route()):
        status, _, content = gateway("/api/drf/open", body, content_type)
    assert (status, json.loads(content)["data"]) == (200, data)


@GATEWAYS
@pytest.mark.parametrize(
    ("size", "status"), [(0, 200), (9, 200), (10, 200), (11, 413), (500_000, 413)]
)
def test_the_largest_body_is_exactly_as_large_as_the_route_says(gateway, size, status):
    with guarded(route(max_body_bytes=10)):
        answered, _, content = gateway("/api/echo", b"x" * size, "text/plain")
    assert answered == status
    if status == 413:
        assert json.loads(content)["error"] == "payload_too_large"
        assert json.loads(content)["detail"] == "The body is larger than the limit of 10 bytes"
    else:
        assert content == b"x" * size


@pytest.mark.parametrize("size", [9, 10, 11])
def test_a_body_that_says_its_length_is_held_to_the_same_limit(size):
    with guarded(route(max_body_bytes=10)):
        response = Call("POST", "/api/echo", body=b"x" * size).wsgi()
    assert response.status_code == (413 if size > 10 else 200)


def test_no_more_is_read_than_is_needed_to_refuse():
    source = Chunks(b"x" * 10_000_000)
    with guarded(route(max_body_bytes=5_000)):
        status, _, _ = wsgi("/api/echo", b"", "text/plain", source=source)
    assert (status, source.taken) == (413, 5_001)


def test_nothing_is_read_for_who_is_refused_anyway():
    source = Chunks(b"x" * 10_000)
    with guarded(route(access="credentials")):
        status, _, _ = wsgi("/api/echo", b"", "text/plain", source=source)
    assert (status, source.taken) == (401, 0)


@pytest.mark.parametrize("terminated", [None, False])
@pytest.mark.parametrize("method", ["POST", "PUT", "GET"])
def test_a_server_that_cannot_delimit_a_body_is_told_that_a_length_is_required(terminated, method):
    source = Chunks(b"x")
    with guarded(route()):
        status, headers, content = wsgi(
            "/api/echo", b"", "text/plain", method=method, terminated=terminated, source=source
        )
    assert (status, json.loads(content)["error"], source.taken) == (411, "length_required", 0)
    assert headers["X-Request-ID"]


def test_without_a_route_a_chunked_body_is_what_django_makes_of_it():
    with guarded():
        status, _, content = wsgi("/api/echo", b"abc", "text/plain", terminated=False)
    assert (status, content) == (200, b"")


def test_an_observing_route_leaves_a_chunked_body_alone():
    source = Chunks(b"abc")
    with guarded(route(mode="observe", max_body_bytes=1)):
        status, _, content = wsgi("/api/echo", b"", "text/plain", source=source)
    assert (status, content, source.taken) == (200, b"", 0)


@pytest.mark.parametrize(
    "failing",
    [
        pytest.param(OSError("the client has gone"), id="gone"),
        # gunicorn has errors of its own for chunks that are none.
        pytest.param(Exception("Invalid chunk size: b'zz'"), id="malformed chunk"),
    ],
)
def test_a_body_that_cannot_be_read_is_no_failure_of_ours(failing):
    with guarded(route()):
        status, _, content = wsgi(
            "/api/echo", b"", "text/plain", source=Chunks(b"x" * 5_000, failing=failing)
        )
    assert (status, json.loads(content)["error"]) == (400, "invalid_request")


@GATEWAYS
@pytest.mark.parametrize("content_type", ["", "text/plain"])
def test_a_media_type_is_asked_of_bodies_of_unknown_length_too(gateway, content_type):
    with guarded(route(accepts=["application/json"])):
        status, headers, _ = gateway("/api/echo", b"abc", content_type)
    assert (status, headers["Accept"]) == (415, "application/json")


def test_a_body_that_no_header_speaks_of_is_judged_like_any_other():
    json_only = route(accepts=["application/json"], max_body_bytes=10)
    with guarded(json_only):
        wrong, _, _ = asgi("/api/echo", b"abc", "text/plain", chunked=False)
        large, _, _ = asgi("/api/echo", b"x" * 11, "application/json", chunked=False)
        right, _, content = asgi("/api/echo", b"abc", "application/json", chunked=False)
        none, _, _ = asgi("/api/echo", b"", "", method="GET", chunked=False)
    assert (wrong, large, right, content, none) == (415, 413, 200, b"abc", 200)


def test_a_chunked_body_is_counted_before_it_is_read():
    limits = tier("anonymous", 5)
    with guarded(route(anonymous_tier=limits[0], max_body_bytes=1), *limits):
        status, headers, _ = wsgi("/api/echo", b"abc", "text/plain")
    assert (status, headers["X-RateLimit-Remaining"]) == (413, "4")


def test_the_csrf_check_finds_its_token_in_a_chunked_form():
    token = "a" * 32
    with guarded(route()):
        status, _, _ = wsgi(
            "/api/protected",
            f"csrfmiddlewaretoken={token}".encode(),
            FORM,
            HTTP_COOKIE=f"csrftoken={token}",
        )
    assert status == 200


def test_a_key_and_a_chunked_body_go_together():
    caller = Caller()
    with guarded(route(access="credentials"), *caller.rows):
        status, _, content = wsgi("/api/echo", b"abc", "text/plain", HTTP_X_API_KEY=caller.text)
        again, _, more = asgi("/api/echo", b"abc", "text/plain", x_api_key=caller.text)
    assert (status, content, again, more) == (200, b"abc", 200, b"abc")


def test_without_a_rule_no_more_is_read_ahead_than_django_keeps():
    source = Chunks(b"x" * 50_000)
    with guarded(route()), override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=10_000):
        status, _, content = wsgi("/api/echo", b"", "text/plain", source=source)
    assert (status, json.loads(content)["error"]) == (413, "payload_too_large")
    assert source.taken <= 10_001


@pytest.mark.parametrize("length", ["0", "5"])
def test_two_lengths_are_one_too_many(length):
    with guarded(route(max_body_bytes=10)):
        by_wsgi = wsgi("/api/echo", b"x" * 50, "text/plain", CONTENT_LENGTH=length)
        by_asgi = asgi("/api/echo", b"x" * 50, "text/plain", content_length=length)
    for status, _, content in (by_wsgi, by_asgi):
        assert (status, json.loads(content)["error"]) == (400, "invalid_request")
