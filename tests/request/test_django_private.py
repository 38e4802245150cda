"""What apiguard uses of Django's private parts is where it was, and does what it did."""

from __future__ import annotations

import string
from io import BytesIO

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.http import FileResponse, HttpResponse, HttpResponseNotModified, StreamingHttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from apiguard.request import django_private

MOVED = "Django has moved {}: mend apiguard/request/django_private.py for this version."
NAMES = st.text(alphabet="aAbB-", min_size=1, max_size=3)
VALUES = st.text(alphabet=string.ascii_letters + " ;=\xe9", max_size=8).map(str.strip)
WRITES = st.lists(st.tuples(NAMES, VALUES), max_size=12)


def put(table, headers):
    """Write as ``response.finish`` does: lower-case name -> (name, value)."""
    for header in headers:
        table[header[0].lower()] = header


@given(own=WRITES, ours=WRITES)
def test_what_is_put_into_the_table_is_what_django_would_have_set(own, ours):
    by_django, by_table = HttpResponse(), HttpResponse()
    for name, value in own:
        by_django.headers[name] = by_table.headers[name] = value
    for name, value in ours:
        by_django.headers[name] = value
    put(django_private.header_table(by_table), ours)
    moved = MOVED.format("ResponseHeaders._store")
    assert list(by_table.headers.items()) == list(by_django.headers.items()), moved
    assert by_table.serialize_headers() == by_django.serialize_headers(), moved


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(HttpResponse(), id="plain"),
        pytest.param(HttpResponseNotModified(), id="not modified"),
        pytest.param(StreamingHttpResponse([]), id="streaming"),
        pytest.param(FileResponse([b""], filename="a.txt"), id="a file"),
    ],
)
def test_every_kind_of_response_is_read_and_written_in_any_case(response):
    table = django_private.header_table(response)
    put(table, [("X-Frame-Options", "DENY"), ("x-frame-options", "SAMEORIGIN")])
    assert response.headers["X-FRAME-OPTIONS"] == "SAMEORIGIN"
    response.headers["X-Frame-options"] = "DENY"
    assert table["x-frame-options"] == ("X-Frame-options", "DENY")
    del table["x-frame-options"]
    assert "X-Frame-Options" not in response.headers


def asgi_request(body):
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []}
    return ASGIRequest(scope, BytesIO(body))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(asgi_request, id="ASGI"),
        pytest.param(
            lambda body: RequestFactory().post("/", body, content_type="text/plain"), id="WSGI"
        ),
    ],
)
def test_the_body_is_read_from_the_stream_and_from_the_one_that_replaces_it(make):
    moved = MOVED.format("HttpRequest._stream")
    assert django_private.body_stream(make(b"first")).read(5) == b"first", moved
    request = make(b"first")
    django_private.replace_body_stream(request, BytesIO(b"second"))
    assert request.body == b"second", moved


@pytest.mark.parametrize("exempt", [True, False])
def test_the_csrf_check_lets_an_exempt_request_pass_and_no_other(exempt):
    request = RequestFactory(enforce_csrf_checks=True).post("/")
    request._dont_enforce_csrf_checks = False  # As of a request that no test client has made.
    if exempt:
        django_private.exempt_from_csrf(request)
    middleware = CsrfViewMiddleware(lambda request: HttpResponse())
    middleware.process_request(request)
    refusal = middleware.process_view(request, lambda request: HttpResponse(), (), {})
    assert (refusal is None) is exempt, MOVED.format("HttpRequest._dont_enforce_csrf_checks")


@pytest.mark.django_db
def test_what_a_response_holds_is_closed_with_it_or_with_the_one_sent_instead():
    closed = []
    unsent, sent = HttpResponse(), HttpResponse()
    django_private.close_with(unsent, lambda: closed.append("unsent's"))
    django_private.close_with(sent, lambda: closed.append("its own"))
    django_private.take_over_closers(sent, unsent)
    sent.close()
    moved = MOVED.format("HttpResponse._resource_closers")
    assert sorted(closed) == ["its own", "unsent's"], moved
