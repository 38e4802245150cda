"""How the tests call a served demonstration: as many clients, by HTTP or byte by byte.

Each call comes from an address of its own unless it names one, so that no
test uses up what another one counts on.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any

import jwt
import urllib3
from urllib3.response import BaseHTTPResponse

from tests.demo_site import DemoSite
from tests.servers import Server

# Only a proxy at this address is believed by the servers of these tests.
PROXY = "127.0.0.1"

CLAIMS = {
    "iss": "apiguard-demo",
    "aud": "apiguard-demo-clients",
    "sub": "alice",
    "scope": "orders:read orders:write",
    "iat": 1_700_000_000,
    "exp": 4_000_000_000,
}

_numbers = itertools.count(1)
# Room for as many threads as any test uses.
_pool = urllib3.PoolManager(maxsize=64)


def new_address() -> str:
    """An address that nobody has called from."""
    number = next(_numbers)
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


@dataclass(frozen=True, slots=True)
class Site:
    """The demonstration, served; ``kind`` is the name of the server's program."""

    kind: str
    server: Server
    demo: DemoSite

    @property
    def acme(self) -> dict[str, str]:
        """Headers with the key that may read and write orders."""
        return {"X-API-Key": self.demo.api_keys["acme"]}

    @property
    def hobby(self) -> dict[str, str]:
        """Headers with the key that may only read orders."""
        return {"X-API-Key": self.demo.api_keys["hobby"]}

    @property
    def alice(self) -> dict[str, str]:
        """Headers with the demonstration's token."""
        return {"Authorization": f"Bearer {self.demo.jwt}"}

    def token(self, *, secret: str | None = None, algorithm: str = "HS256", **claims: Any) -> str:
        """A token like the demonstration's, with other claims (``None`` leaves one out)."""
        members = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
        signed_with = self.demo.env["JWT_SECRET"] if secret is None else secret
        return jwt.encode(members, "" if algorithm == "none" else signed_with, algorithm=algorithm)

    def call(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        address: str | None = None,
        **options: Any,
    ) -> BaseHTTPResponse:
        """Send one request on a connection of its own, as if through the proxy."""
        sent = {
            "Connection": "close",
            "X-Forwarded-For": address or new_address(),
            **(headers or {}),
        }
        url = self.server.base_url + path
        options = {"redirect": False, "retries": False, "timeout": 30, **options}
        return _pool.request(method, url, headers=sent, **options)

    def get(
        self, path: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> BaseHTTPResponse:
        """``call`` with GET."""
        return self.call("GET", path, headers, **options)

    def exchange(self, head: bytes, *body: bytes, patience: float = 30) -> RawAnswer | None:
        """``exchange`` with this server."""
        return exchange(self.server.port, head, *body, patience=patience)


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """What came back for bytes that no HTTP client would send."""

    status: int
    headers: Mapping[str, str]
    data: bytes


def request_head(method: str, path: str, headers: Sequence[tuple[str, str | bytes]]) -> bytes:
    """The first part of a request, up to the empty line; values are sent as they are."""
    fixed = {"Host": "localhost", "Connection": "close"}
    given = {name for name, _ in headers}
    first = [(name, value) for name, value in fixed.items() if name not in given]
    lines = [
        name.encode() + b": " + (value if isinstance(value, bytes) else value.encode())
        for name, value in (*first, *headers)
    ]
    return b"\r\n".join([f"{method} {path} HTTP/1.1".encode(), *lines, b"", b""])


def chunked(*chunks: bytes) -> Iterator[bytes]:
    """A body in chunks, with its end (RFC 9112 section 7.1)."""
    for chunk in chunks:
        yield b"%x\r\n%b\r\n" % (len(chunk), chunk)
    yield b"0\r\n\r\n"


def exchange(port: int, head: bytes, *body: bytes, patience: float = 30) -> RawAnswer | None:
    """Send the parts one after the other; ``None`` if the server hung up or kept silent.

    A server may answer and hang up while the body is still on its way.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as connection:
        with suppress(OSError):
            for part in (head, *body):
                connection.sendall(part)
        response = HTTPResponse(connection, method=head.split(b" ", 1)[0].decode())
        try:
            response.begin()
            data = response.read()
        except (HTTPException, OSError):
            return None
        finally:
            response.close()
        return RawAnswer(response.status, urllib3.HTTPHeaderDict(response.getheaders()), data)
