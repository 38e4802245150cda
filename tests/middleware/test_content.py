"""Content rules over the whole way: what Django makes of what they let through."""

from __future__ import annotations

import sys

import pytest
from django.test import override_settings

from tests.request.site import DOORS, Call, guarded, route

BOUNDARY = "xYzZY"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
# What Django reads into memory unless told otherwise.
DJANGOS = 2_621_440


def upload(size: int) -> bytes:
    disposition = 'Content-Disposition: form-data; name="file"; filename="a.bin"'
    return (
        f"--{BOUNDARY}\r\n{disposition}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()
        + b"x" * size
        + f"\r\n--{BOUNDARY}--\r\n".encode()
    )


def post(path: str, body: bytes, content_type: str, **headers: str) -> Call:
    return Call("POST", path, headers=headers, body=body, content_type=content_type)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        pytest.param(MULTIPART, 200, id="what it takes"),
        pytest.param("application/json", 415, id="JSON"),
        pytest.param("multipart/mixed; boundary=x", 415, id="another multipart"),
        pytest.param("multipart/form-data", 400, id="no boundary: Django's own refusal"),
        pytest.param("multipart/form-data; boundary=a; boundary=b", 415, id="two boundaries"),
    ],
)
def test_a_route_for_uploads_takes_multipart_alone(door, content_type, status):
    with guarded(route(accepts=["multipart/form-data"])):
        response = DOORS[door](post("/api/form", upload(10), content_type))
    assert response.status_code == status
    if status == 415:
        assert response.headers["Accept"] == "multipart/form-data"


@pytest.mark.parametrize("door", DOORS)
def test_an_uploaded_file_may_be_as_large_as_the_route_says_whatever_django_keeps(door):
    size = DJANGOS + 1
    with guarded(route(max_body_bytes=2 * DJANGOS)):
        response = DOORS[door](post("/api/form", upload(size), MULTIPART))
    assert response.json()["files"] == {"file": size}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("path", ["/api/echo", "/api/drf/open"])
def test_another_body_above_djangos_own_limit_is_refused_in_the_same_words(door, path):
    call = post(path, b" " * (DJANGOS + 1), "application/json")
    with guarded(route(max_body_bytes=2 * DJANGOS)):
        by_django = DOORS[door](call)
    with guarded(route(max_body_bytes=DJANGOS)):
        by_us = DOORS[door](call)
    assert by_django.status_code == by_us.status_code == 413
    assert by_django.json()["detail"] == by_us.json()["detail"]
    assert f"{DJANGOS} bytes" in by_us.json()["detail"]


# From Python 3.13 on it replaces what it cannot read, and no view falls over it.
PUNYCODE = ["punycode"] if sys.version_info < (3, 13) else []


def test_the_smaller_of_two_limits_is_the_one_that_is_named():
    with guarded(route(max_body_bytes=10)), override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=20):
        by_us = post("/api/echo", b"x" * 30, "text/plain").wsgi()
    with guarded(route(max_body_bytes=20)), override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=10):
        by_django = post("/api/echo", b"x" * 15, "text/plain").wsgi()
    assert "10 bytes" in by_us.json()["detail"]
    assert "10 bytes" in by_django.json()["detail"]


@pytest.mark.parametrize("charset", ["hex", "zlib", "idna", *PUNYCODE, "undefined"])
@pytest.mark.parametrize(
    ("door", "path"),
    [
        *(pytest.param(door, "/api/form", id=door) for door in DOORS),
        # Under WSGI Django falls over the query string before any middleware runs.
        pytest.param("asgi", "/api/form?a=b", id="asgi, with a query"),
    ],
)
def test_a_codec_that_is_none_for_text_is_refused_before_a_view_falls_over_it(door, path, charset):
    with guarded(route()):
        response = DOORS[door](post(path, upload(1), f"{MULTIPART}; charset={charset}"))
    assert response.status_code == 415
    assert response.json()["error"] == "unsupported_media_type"
    assert "Accept" not in response.headers


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        pytest.param("application/json", 200, id="JSON is UTF-8"),
        pytest.param("application/json; charset=UTF-8", 200, id="said"),
        pytest.param("application/json; charset=utf8", 200, id="said as programs do"),
        pytest.param("application/json; charset=utf-16", 415, id="another"),
    ],
)
def test_a_route_may_insist_on_a_charset(door, content_type, status):
    with guarded(route(accepts=["application/json;charset=utf-8"])):
        response = DOORS[door](post("/api/drf/open", b'{"a": "b"}', content_type))
    assert response.status_code == status


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("accepts", "status"),
    [
        pytest.param(["application/json"], 415, id="JSON is not every JSON"),
        pytest.param(["application/json", "application/*+json"], 200, id="unless staff say so"),
    ],
)
def test_a_type_with_a_suffix_is_a_type_of_its_own(door, accepts, status):
    with guarded(route(accepts=accepts)):
        response = DOORS[door](post("/api/echo", b"{}", "application/vnd.api+json"))
    assert response.status_code == status
    assert status == 200 or response.headers["Accept"] == ", ".join(accepts)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        pytest.param("application/json", b"{}", 200, id="as any other"),
        pytest.param("text/plain", b"x", 415, id="of another type"),
        pytest.param("application/json", b"x" * 11, 413, id="too long"),
        pytest.param("text/plain", b"", 200, id="none, but a type"),
    ],
)
def test_a_body_on_get_is_judged_like_any_other(door, content_type, body, status):
    headers = {} if body else {"Content-Type": content_type}
    with guarded(route(accepts=["application/json"], max_body_bytes=10)):
        call = Call("GET", "/api/get-only", headers=headers, body=body, content_type=content_type)
        response = DOORS[door](call)
    assert response.status_code == status


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("method", ["DELETE", "TRACE", "OPTIONS", "BREW"])
def test_a_method_that_the_route_does_not_list_is_told_which_are(door, method):
    with guarded(route(methods=["GET", "POST"])):
        response = DOORS[door](Call(method, "/api/plain"))
    assert response.status_code == 405
    assert response.headers["Allow"] == "GET, HEAD, POST"
