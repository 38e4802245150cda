"""Facts are what a request says of itself, unjudged."""

from __future__ import annotations

import pytest
from django.test import RequestFactory

from apiguard import conf
from apiguard.request.facts import UNKNOWN_PEER, Facts, facts_of
from apiguard.request.presented import PresentedCredential
from tests.request.site import settings_of


def facts(meta, **members):
    settings, _ = conf.parse(settings_of(**members), {})
    return facts_of(meta, "GET", settings, secure=False)


def test_an_empty_environ_is_a_request_of_nothing():
    assert facts({}) == Facts("GET", remote_addr=UNKNOWN_PEER)


@pytest.mark.parametrize("length", [0, 5])
def test_a_length_that_is_an_int_is_read_like_text(length):
    assert facts({"CONTENT_LENGTH": length}).content_length == str(length)


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        pytest.param({"wsgi.version": (1, 0), "REMOTE_ADDR": ""}, True, id="gunicorn, socket"),
        pytest.param({"SERVER_NAME": "/run/a.sock", "SERVER_PORT": "None"}, True, id="uvicorn"),
        pytest.param({"SERVER_NAME": "unknown", "SERVER_PORT": "0"}, True, id="older uvicorn"),
        pytest.param(
            {"SERVER_NAME": "127.0.0.1", "SERVER_PORT": "8000"}, False, id="after a reset"
        ),
        pytest.param({"wsgi.version": (1, 0)}, False, id="a WSGI server that names nobody"),
    ],
)
def test_an_absent_peer_is_a_unix_socket_only_where_the_server_is_on_one(meta, expected):
    settings, _ = conf.parse(settings_of(TRUSTED_PROXIES=["unix"]), {})
    meta = {**meta, "HTTP_X_FORWARDED_FOR": "192.0.2.7"}
    found = facts_of(meta, "GET", settings, secure=False).address(settings)
    assert str(found) == ("192.0.2.7" if expected else "None")


def test_every_header_is_kept_as_it_arrived():
    request = RequestFactory().post(
        "/api/",
        data=b"{}",
        content_type="Application/JSON",
        headers={
            "Origin": " https://a.example ",
            "Access-Control-Request-Method": "put",
            "Access-Control-Request-Headers": "A,,b",
            "Sec-Fetch-Site": "None",
            "Accept": "",
            "Authorization": "x  y",
            "X-API-Key": " k ",
        },
    )
    found = facts(request.META)
    assert (found.origin, found.requested_method) == (" https://a.example ", "put")
    assert (found.requested_headers, found.fetch_site) == ("A,,b", "None")
    assert (found.accept, found.authorization, found.api_key) == ("", "x  y", " k ")
    assert (found.content_length, found.content_type) == ("2", "Application/JSON")


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        pytest.param({}, "", id="no body"),
        pytest.param({"HTTP_TRANSFER_ENCODING": "chunked"}, "delimited", id="ASGI"),
        pytest.param(
            {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.version": (1, 0)}, "endless", id="WSGI"
        ),
        pytest.param(
            {
                "HTTP_TRANSFER_ENCODING": "chunked",
                "wsgi.version": (1, 0),
                "wsgi.input_terminated": True,
            },
            "delimited",
            id="WSGI that ends bodies",
        ),
        pytest.param(
            {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": "3"},
            "delimited",
            id="a length too",
        ),
        pytest.param({"wsgi.version": (1, 0), "CONTENT_LENGTH": ""}, "", id="WSGI, no body"),
    ],
)
def test_whether_a_body_has_a_known_length(meta, expected):
    assert facts(meta).unknown_length == expected


@pytest.mark.parametrize(
    ("peer", "sent", "header", "proxies", "address"),
    [
        pytest.param("192.0.2.1", "10.0.0.1", "X-Forwarded-For", [], "192.0.2.1", id="no proxy"),
        pytest.param(
            "10.0.0.9", "192.0.2.1", "X-Forwarded-For", ["10.0.0.0/8"], "192.0.2.1", id="a proxy"
        ),
        pytest.param(
            "10.0.0.9", "for=192.0.2.1", "Forwarded", ["10.0.0.0/8"], "192.0.2.1", id="RFC 7239"
        ),
        pytest.param(
            "::ffff:10.0.0.9", "192.0.2.1", "X-Forwarded-For", ["10.0.0.0/8"], "192.0.2.1", id="v4"
        ),
        pytest.param("", "192.0.2.1", "X-Forwarded-For", ["unix"], "192.0.2.1", id="unix"),
        pytest.param("", "192.0.2.1", "X-Forwarded-For", [], None, id="unix, not trusted"),
    ],
)
def test_the_address_is_what_trusted_proxies_say(peer, sent, header, proxies, address):
    meta = {"REMOTE_ADDR": peer, "HTTP_" + header.upper().replace("-", "_"): sent}
    settings, _ = conf.parse(settings_of(TRUSTED_PROXIES=proxies, FORWARDED_HEADER=header), {})
    found = facts_of(meta, "GET", settings, secure=False).address(settings)
    assert (None if found is None else str(found)) == address


def test_only_the_one_header_that_is_named_is_read():
    meta = {"REMOTE_ADDR": "10.0.0.9", "HTTP_X_FORWARDED_FOR": "192.0.2.1"}
    found = facts(meta, TRUSTED_PROXIES=["10.0.0.0/8"], FORWARDED_HEADER="Forwarded")
    assert found.forwarded == ""


def test_a_socket_s_proxy_is_believed_about_https():
    meta = {"REMOTE_ADDR": "", "HTTP_X_FORWARDED_PROTO": "https"}
    assert facts(meta, TRUSTED_PROXIES=["unix"]).secure
    assert not facts(meta).secure


def test_no_secret_stands_in_what_a_traceback_shows():
    told = repr(facts({"HTTP_AUTHORIZATION": "Bearer the-token", "HTTP_X_API_KEY": "the-key"}))
    assert "the-token" not in told
    assert "the-key" not in told
    assert "the-key" not in repr(PresentedCredential("key", "ApiKey", "the-key"))
