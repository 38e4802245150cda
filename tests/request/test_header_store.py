"""Writing to the store is the same as writing through ``response.headers``, but not checked."""

from __future__ import annotations

import pickle
import string

import pytest
from django.http import FileResponse, HttpResponse, HttpResponseNotModified, StreamingHttpResponse
from django.http.response import ResponseHeaders
from hypothesis import given
from hypothesis import strategies as st

from apiguard.request.header_store import read_at_once, store_of

NAMES = st.text(alphabet="aAbB-", min_size=1, max_size=3)
VALUES = st.text(alphabet=string.ascii_letters + " ;=\xe9", max_size=8).map(str.strip)
WRITES = st.lists(st.tuples(NAMES, VALUES), max_size=12)


def put(store, headers):
    """As ``finish`` writes what is rendered: lower-case name -> (name, value)."""
    for header in headers:
        store[header[0].lower()] = header


@given(own=WRITES, ours=WRITES)
def test_what_is_put_into_the_store_is_what_django_does(own, ours):
    by_django, by_store = HttpResponse(), HttpResponse()
    for name, value in own:
        by_django.headers[name] = by_store.headers[name] = value
    for name, value in ours:
        by_django.headers[name] = value
    put(store_of(by_store), ours)
    assert list(by_store.headers.items()) == list(by_django.headers.items())
    assert by_store.serialize_headers() == by_django.serialize_headers()


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
    store = store_of(response)
    put(store, [("X-Frame-Options", "DENY"), ("x-frame-options", "SAMEORIGIN")])
    assert response.headers["X-FRAME-OPTIONS"] == "SAMEORIGIN"
    response.headers["X-Frame-options"] = "DENY"
    assert store["x-frame-options"] == ("X-Frame-options", "DENY")
    del store["x-frame-options"]
    assert "X-Frame-Options" not in response.headers


@given(own=WRITES, ours=WRITES)
def test_headers_that_are_read_at_once_read_as_before(own, ours):
    before, after = HttpResponse(), HttpResponse()
    read_at_once(after)
    for name, value in own:
        before.headers[name] = after.headers[name] = value
    for response in (before, after):
        put(store_of(response), ours)
        response["X-Last"] = "1"
        del response["Content-Type"]
    assert list(after.items()) == list(before.items())
    assert after.headers == before.headers
    assert dict(after.headers) == dict(before.headers)
    assert after.serialize_headers() == before.serialize_headers()


def test_a_cached_response_does_not_need_this_package_to_be_read():
    response = HttpResponse(headers={"X-One": "1"})
    read_at_once(response)
    headers = pickle.loads(pickle.dumps(response)).headers  # noqa: S301 - our own
    assert type(headers) is ResponseHeaders
    assert list(headers.items()) == list(response.headers.items())


def test_headers_of_a_projects_own_kind_stay_what_they_are():
    class Own(ResponseHeaders):
        pass

    response = HttpResponse()
    response.headers = Own({"X-One": "1"})
    read_at_once(response)
    assert type(response.headers) is Own
