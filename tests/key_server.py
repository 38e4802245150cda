"""An issuer's https server on loopback that behaves as badly as it is told to.

``behaviour`` gets the connection of one request, its head already read, and
writes whatever it likes; the bytes of ``answer(...)`` are a good one. The
certificate is made for the occasion, by a CA of the test's own.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

Behaviour = Callable[[ssl.SSLSocket, "KeyServer"], None]
NAMES = ("localhost", "issuer.test")


def answer(
    body: bytes | object = b"",
    *,
    status: str = "200 OK",
    content_type: str | None = "application/json",
    headers: Sequence[str] = (),
) -> bytes:
    """A whole response; a body that is no bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(data)}", "Connection: close", *headers]
    if content_type is not None:
        lines.append(f"Content-Type: {content_type}")
    return "\r\n".join([*lines, "", ""]).encode() + data


def serve(*args: object, **options: object) -> Behaviour:
    """Answer well-formed HTTP, whatever it says."""
    return send(answer(*args, **options))  # type: ignore[arg-type]


def send(raw: bytes) -> Behaviour:
    """Answer these bytes."""
    return lambda connection, server: connection.sendall(raw)


def hang(connection: ssl.SSLSocket, server: KeyServer) -> None:
    """Say nothing until the server is told to go on."""
    server.go_on.wait(60)


def drip(connection: ssl.SSLSocket, server: KeyServer) -> None:
    """Send one byte after the other, for ever."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX: ")
    while not server.go_on.wait(0.02):
        connection.sendall(b"x")


@dataclass
class KeyServer:
    """``requests`` holds the head of every request that arrived."""

    port: int
    ca_file: str
    behaviour: Behaviour = hang
    requests: list[str] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)

    def url(self, host: str = "issuer.test", path: str = "/keys") -> str:
        return f"https://{host}:{self.port}{path}"


@contextmanager
def key_server(folder: Path, names: Sequence[str] = NAMES) -> Iterator[KeyServer]:
    """A running server whose certificate is for ``names``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(make_certificates(folder, names))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = KeyServer(listener.getsockname()[1], str(folder / "ca.pem"))
        threading.Thread(target=_accept, args=(listener, context, server), daemon=True).start()
        try:
            yield server
        finally:
            server.go_on.set()
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, context: ssl.SSLContext, server: KeyServer) -> None:
    while True:
        try:
            plain, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(plain, context, server), daemon=True).start()


def _serve(plain: socket.socket, context: ssl.SSLContext, server: KeyServer) -> None:
    # Whoever asked may hang up at any time: that is what these tests are about.
    with suppress(OSError), plain:
        plain.settimeout(60)
        with context.wrap_socket(plain, server_side=True) as connection:
            head = b""
            while b"\r\n\r\n" not in head and (more := connection.recv(4096)):
                head += more
            server.requests.append(head.decode("latin-1"))
            server.behaviour(connection, server)


# -- certificates ---------------------------------------------------------------


def make_certificates(folder: Path, names: Sequence[str]) -> str:
    """The path of key and certificate in PEM; ``ca.pem`` beside it is whom to trust."""
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca = _certificate("Tests CA", ca_key, "Tests CA", ca_key, ())
    leaf = _certificate("Tests issuer", key, "Tests CA", ca_key, names)
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "server.pem"
    path.write_bytes(private + leaf.public_bytes(pem))
    return str(path)


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    names: Sequence[str],
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    is_ca = not names
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    usage = x509.KeyUsage(not is_ca, *[False] * 4, is_ca, is_ca, *[False] * 2)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_common_name(name))
        .issuer_name(_common_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(authority, critical=False)
    )
    if names:
        listed = x509.SubjectAlternativeName([_general_name(one) for one in names])
        builder = builder.add_extension(listed, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
