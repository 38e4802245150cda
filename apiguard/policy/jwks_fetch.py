"""One request for an issuer's keys, over a connection that is judged before it is made.

The name is resolved once, every address that it has must be allowed, and the
connection goes to one of these addresses: a name that answers differently the
second time gains nothing. Name and certificate are checked as always. No
redirect, no proxy, three seconds for everything, 64 KiB.

The standard library's ``http.client`` reads the answer from a file that keeps
time and counts bytes. An HTTP client with pools and retries limits each read,
not all of them together, and resolves names by itself.
"""

from __future__ import annotations

import io
import socket
import ssl
import time
from collections.abc import Sequence
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING

from ..concurrency import Busy, DaemonThreads, TimedOut
from ..errors import IssuerError
from ..rules.jwks import MAX_SET_LENGTH
from ..rules.jwks_url import KeysUrl, may_be_fetched_from, parse_keys_url
from ..rules.networks import Address, Network, parse_address

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SECONDS = 3.0
# For one address of several, so that the others get their turn.
CONNECT_SECONDS = 1.0
MAX_ADDRESSES = 8
MAX_HEAD_LENGTH = 16_384
# A resolver that hangs keeps one of these for as long as it likes.
resolvers = DaemonThreads("apiguard-jwks-resolver", most=8, max_queue=8)
MEDIA_TYPES = ("application/json", "application/jwk-set+json")


def fetch(url: str, allowed: Sequence[Network] = (), ca_file: str | None = None) -> bytes:
    """Return the body that ``url`` answers; at most 64 KiB, within three seconds.

    Args:
        allowed: networks that a fetch may reach although they are not global.
        ca_file: certificates in PEM that are trusted besides the system's.

    Raises:
        IssuerError: it cannot be had; the message says why, for operators.
    """
    deadline = time.monotonic() + SECONDS
    where = parse_keys_url(url)
    try:
        addresses = _resolve(where, deadline)
        _refuse_inner(addresses, allowed, where)
        with _connect(addresses, where, deadline) as plain:
            plain.settimeout(_left(deadline))
            with _context(ca_file).wrap_socket(plain, server_hostname=where.host) as tls:
                return _exchange(tls, where, deadline)
    except IssuerError:
        raise
    except TimeoutError:
        raise _failed("timeout", f"{where.host} did not answer within {SECONDS:.0f} s.") from None
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or "it hung up"
        raise _failed("tls", f"No secure connection to {where.host}: {reason}.") from None
    except _TooLarge:
        raise _failed("too_large", f"The answer is larger than {MAX_SET_LENGTH:,} bytes.") from None
    except (HTTPException, ValueError):  # http.client lets some of int()'s and read()'s pass
        raise _failed("bad_answer", f"What {where.host} answers is not HTTP.") from None
    except OSError as error:
        raise _failed("unreachable", f"{where.host} cannot be asked: {error!r:.200}.") from None


# -- where to -------------------------------------------------------------------


def _resolve(where: KeysUrl, deadline: float) -> list[Address]:
    """Return all addresses of the host. A resolver takes no timeout, so a thread waits for it."""
    try:
        found = resolvers.call(lambda: _lookup(where.host, where.port), _left(deadline))
    except (Busy, TimedOut):
        raise TimeoutError from None
    except (OSError, UnicodeError):
        raise _failed("unknown_host", f"{where.host} has no address.") from None
    return _addresses(found)


def _lookup(host: str, port: int) -> list[str]:
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(info[4][0]) for info in infos]


def _addresses(texts: list[str]) -> list[Address]:
    read = [parse_address(text) for text in dict.fromkeys(texts)]
    addresses = [address for address in read if address is not None]
    if not addresses or len(addresses) < len(read):
        # A zone, as in fe80::1%eth0, is of this machine's own network.
        raise _failed("inner_address", "The host has an address that is not a public one.")
    return addresses


def _refuse_inner(addresses: list[Address], allowed: Sequence[Network], where: KeysUrl) -> None:
    for address in addresses:
        if not may_be_fetched_from(address, allowed):
            raise IssuerError(
                "inner_address",
                str(address),
                f"{where.host} has the address {address}, which is not on the public internet.",
                "If it is meant to be there, add it to APIGUARD['JWKS_ALLOWED_NETWORKS'].",
                field="jwks_url",
            )


def _connect(addresses: list[Address], where: KeysUrl, deadline: float) -> socket.socket:
    for address in addresses[:MAX_ADDRESSES]:
        try:
            timeout = min(CONNECT_SECONDS, _left(deadline))
            return socket.create_connection((str(address), where.port), timeout)
        except OSError as error:
            last = error
    raise last


def _context(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError:
            hint = "Name a file with certificates in PEM."
            raise _failed("bad_ca_file", "APIGUARD['JWKS_CA_FILE'] cannot be read.", hint) from None
    return context


# -- the exchange ---------------------------------------------------------------


class _TooLarge(Exception):
    """No ValueError: http.client would take it for a mistake in a chunk."""


class _Answer(io.RawIOBase):
    """What arrives, within the time and up to the length; what http.client reads from."""

    def __init__(self, tls: ssl.SSLSocket, deadline: float) -> None:
        self._tls, self._deadline, self._length = tls, deadline, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        self._tls.settimeout(_left(self._deadline))
        count = self._tls.recv_into(buffer)
        self._length += count
        if self._length > MAX_HEAD_LENGTH + MAX_SET_LENGTH:
            raise _TooLarge
        return count

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)


def _exchange(tls: ssl.SSLSocket, where: KeysUrl, deadline: float) -> bytes:
    tls.settimeout(_left(deadline))
    tls.sendall(
        f"GET {where.target} HTTP/1.1\r\nHost: {where.authority}\r\n"
        f"Accept: {', '.join(MEDIA_TYPES)}\r\nAccept-Encoding: identity\r\n"
        "User-Agent: apiguard\r\nConnection: close\r\n\r\n".encode("ascii")
    )
    with HTTPResponse(_Answer(tls, deadline), method="GET") as response:  # type: ignore[arg-type]
        response.begin()
        _check_head(response, where)
        body = response.read(MAX_SET_LENGTH + 1)
    if len(body) > MAX_SET_LENGTH:
        raise _TooLarge
    return body


def _check_head(response: HTTPResponse, where: KeysUrl) -> None:
    if 300 <= response.status < 400:
        reason = f"{where.host} answers with a redirect, and redirects are not followed."
        raise _failed("redirect", reason, "Write the URL that it leads to.")
    if response.status != 200:
        raise _failed("bad_status", f"{where.host} answers {response.status} instead of 200.")
    media_type = (response.getheader("Content-Type") or "").partition(";")[0].strip().lower()
    if media_type not in MEDIA_TYPES:
        raise _failed("wrong_type", f"{where.host} answers {media_type or 'no type'!r}, not JSON.")
    if (response.getheader("Content-Encoding") or "identity").lower() != "identity":
        raise _failed("encoded", f"{where.host} answers in an encoding that was not asked for.")


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _failed(code: str, reason: str, hint: str = "") -> IssuerError:
    return IssuerError(code, "", reason, hint, field="jwks_url")
