"""Writing to the store is the same as writing through ``response.headers``, but not checked."""

from __future__ import annotations

import string

import pytest
from django.http import FileResponse, HttpResponse, HttpResponseNotModified, StreamingHttpResponse
from hypothesis import given
from hypothesis import strategies as st

from apiguard.request.header_store import put, store_of

NAMES = st.text(alphabet="aAbB-", min_size=1, max_size=3)
VALUES = st.text(alphabet=string.ascii_letters + " ;=\xe9", max_size=8).map(str.strip)
WRITES = st.lists(st.tuples(NAMES, VALUES), max_size=12)


@given(own=WRITES, ours=WRITES)
def test_put_is_what_django_does(own, ours):
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
