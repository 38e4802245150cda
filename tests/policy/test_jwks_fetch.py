"""Fetching keys from servers that misbehave, and from addresses that must not be asked."""

from __future__ import annotations

import socket
from ipaddress import ip_network

import pytest

from apiguard.errors import IssuerError
from apiguard.policy import jwks_fetch
from apiguard.policy.jwks_fetch import fetch
from apiguard.rules.jwks import MAX_SET_LENGTH
from tests.key_server import answer, drip, hang, key_server, send, serve
from tests.servers import free_port

LOOPBACK = (ip_network("127.0.0.0/8"),)
SET = b'{"keys": []}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with key_server(tmp_path_factory.mktemp("issuer")) as server:
        yield server


@pytest.fixture
def server(shared, monkeypatch):
    """The server of issuer.test, which is at 127.0.0.1."""
    shared.requests.clear()
    shared.go_on.clear()
    monkeypatch.setattr(jwks_fetch, "_lookup", lambda host, port: ["127.0.0.1"])
    yield shared
    shared.go_on.set()


def fetched(server, **options):
    return fetch(server.url(**options), LOOPBACK, server.ca_file)


def problem(server, **options):
    with pytest.raises(IssuerError) as raised:
        fetched(server, **options)
    assert str(raised.value)
    return raised.value.code


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(serve(SET), id="plain"),
        pytest.param(serve(SET, content_type="application/jwk-set+json"), id="its own type"),
        pytest.param(serve(SET, content_type="Application/JSON; charset=utf-8"), id="charset"),
        pytest.param(send(HEAD + b"\r\n" + SET), id="until the end of the connection"),
        pytest.param(
            send(
                HEAD
                + b"Transfer-Encoding: chunked\r\n\r\n5\r\n"
                + SET[:5]
                + b"\r\n7\r\n"
                + SET[5:]
                + b"\r\n0\r\n\r\n"
            ),
            id="in chunks",
        ),
        pytest.param(send(b"HTTP/1.1 100 Continue\r\n\r\n" + answer(SET)), id="after a 100"),
    ],
)
def test_an_answer_is_read(server, behaviour):
    server.behaviour = behaviour
    assert fetched(server) == SET


def test_the_request_names_the_host_and_asks_for_json_alone(server):
    server.behaviour = serve(SET)
    fetched(server, path="/a/keys?v=1")
    lines = server.requests[0].split("\r\n")
    assert lines[0] == "GET /a/keys?v=1 HTTP/1.1"
    assert f"Host: issuer.test:{server.port}" in lines
    assert "Accept-Encoding: identity" in lines
    assert "Connection: close" in lines


BIG = b" " * (MAX_SET_LENGTH + 1)


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        pytest.param(
            serve(b"", status="302 Found", headers=["Location: /x"]), "redirect", id="302"
        ),
        pytest.param(serve(b"", status="301 Moved"), "redirect", id="301"),
        pytest.param(serve(b"", status="308 Moved"), "redirect", id="308"),
        pytest.param(serve(SET, status="404 Not Found"), "bad_status", id="404"),
        pytest.param(serve(SET, status="500 Oh"), "bad_status", id="500"),
        pytest.param(serve(SET, status="206 Partial"), "bad_status", id="206"),
        pytest.param(serve(SET, status="204 None"), "bad_status", id="204"),
        pytest.param(serve(SET, content_type="text/html"), "wrong_type", id="HTML"),
        pytest.param(serve(SET, content_type="text/plain"), "wrong_type", id="text"),
        pytest.param(serve(SET, content_type=None), "wrong_type", id="no type"),
        pytest.param(serve(SET, headers=["Content-Encoding: gzip"]), "encoded", id="gzip"),
        pytest.param(serve(BIG), "too_large", id="a byte more than 64 KiB"),
        pytest.param(send(HEAD + b"\r\n" + BIG * 4), "too_large", id="no end"),
        pytest.param(
            send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 40_000),
            "too_large",
            id="many chunks",
        ),
        pytest.param(send(HEAD + b"X: " + b"x" * 200_000), "bad_answer", id="a long header"),
        pytest.param(
            send(b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 20_000), "bad_answer", id="headers"
        ),
        pytest.param(send(b"HTTP/1.1 100 C\r\n\r\n" * 9000), "too_large", id="100 for ever"),
        pytest.param(send(b"\x00" * 100), "bad_answer", id="zeros"),
        pytest.param(send(b"SSH-2.0-OpenSSH_9\r\n"), "bad_answer", id="another protocol"),
        pytest.param(send(b""), "bad_answer", id="nothing"),
        pytest.param(
            send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nx"), "bad_answer", id="minus 5"
        ),
        pytest.param(
            send(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nx"), "bad_answer", id="no number"
        ),
    ],
)
def test_an_answer_that_is_not_keys_is_an_error_in_words(server, behaviour, code):
    server.behaviour = behaviour
    assert problem(server) == code


@pytest.mark.parametrize("behaviour", [hang, drip], ids=["says nothing", "a byte at a time"])
def test_all_of_it_has_to_come_in_time(server, behaviour, monkeypatch):
    monkeypatch.setattr(jwks_fetch, "SECONDS", 0.3)
    server.behaviour = behaviour
    assert problem(server) == "timeout"


def test_a_redirect_is_not_followed(server):
    elsewhere = f"Location: {server.url(path='/elsewhere')}"
    server.behaviour = serve(b"", status="302 Found", headers=[elsewhere])
    problem(server)
    assert len(server.requests) == 1


# -- whom ------------------------------------------------------------------------


def test_a_certificate_for_another_name_is_refused(server):
    assert problem(server, host="other.test") == "tls"
    assert server.requests == []


def test_a_certificate_of_a_stranger_is_refused(server):
    with pytest.raises(IssuerError, match="secure connection"):
        fetch(server.url(), LOOPBACK)
    assert server.requests == []


def test_an_address_of_our_own_network_is_not_fetched(server):
    with pytest.raises(IssuerError, match="JWKS_ALLOWED_NETWORKS") as raised:
        fetch(server.url(), (), server.ca_file)
    assert raised.value.code == "inner_address"
    assert server.requests == []


@pytest.mark.parametrize(
    "addresses",
    [
        pytest.param(["93.184.216.34", "10.0.0.1"], id="one of two is inner"),
        pytest.param(["127.0.0.1", "10.0.0.1"], id="one of two is no exception"),
        pytest.param(["169.254.169.254"], id="metadata of a cloud"),
        pytest.param(["::ffff:10.0.0.1"], id="mapped"),
        pytest.param(["fe80::1%eth0"], id="a zone"),
        pytest.param([], id="none"),
    ],
)
def test_a_name_with_any_private_address_is_not_fetched(server, addresses, monkeypatch):
    monkeypatch.setattr(jwks_fetch, "_lookup", lambda host, port: addresses)
    assert problem(server) == "inner_address"
    assert server.requests == []


def test_a_name_that_answers_differently_the_second_time_gains_nothing(server, monkeypatch):
    """DNS rebinding: what was judged is what is connected to."""
    asked, answers = [], iter([["127.0.0.1"], ["10.0.0.1"]])
    monkeypatch.setattr(
        jwks_fetch, "_lookup", lambda host, port: asked.append(host) or next(answers)
    )
    connected = []
    connect = socket.create_connection
    monkeypatch.setattr(
        socket, "create_connection", lambda to, *more: connected.append(to) or connect(to, *more)
    )
    server.behaviour = serve(SET)
    assert fetched(server) == SET
    assert asked == ["issuer.test"]
    assert connected == [("127.0.0.1", server.port)]


def test_the_next_address_is_tried_where_one_does_not_answer(server, monkeypatch):
    monkeypatch.setattr(jwks_fetch, "_lookup", lambda host, port: ["127.9.9.9", "127.0.0.1"])
    server.behaviour = serve(SET)
    assert fetched(server) == SET


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_proxies_of_the_environment_are_not_used(server, monkeypatch, name):
    monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    server.behaviour = serve(SET)
    assert fetched(server) == SET


def test_a_name_without_an_address(server, monkeypatch):
    def unknown(host, port):
        raise socket.gaierror("nobody knows")

    monkeypatch.setattr(jwks_fetch, "_lookup", unknown)
    assert problem(server) == "unknown_host"


def test_a_resolver_that_hangs_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr(jwks_fetch, "SECONDS", 0.1)
    monkeypatch.setattr(jwks_fetch, "_lookup", lambda host, port: server.go_on.wait(60))
    assert problem(server) == "timeout"


def test_nobody_listens(server):
    with pytest.raises(IssuerError) as raised:
        fetch(f"https://issuer.test:{free_port()}/", LOOPBACK, server.ca_file)
    assert raised.value.code == "unreachable"


def test_a_file_of_certificates_that_is_not_there(server):
    with pytest.raises(IssuerError, match="JWKS_CA_FILE") as raised:
        fetch(server.url(), LOOPBACK, "/nowhere.pem")
    assert raised.value.code == "bad_ca_file"


def test_the_real_resolver_resolves_names_and_addresses():
    assert "127.0.0.1" in jwks_fetch._lookup("127.0.0.1", 443)


def test_plain_http_is_never_fetched(server):
    with pytest.raises(IssuerError) as raised:
        fetch(f"http://issuer.test:{server.port}/keys", LOOPBACK, server.ca_file)
    assert raised.value.code == "bad_keys_url"
