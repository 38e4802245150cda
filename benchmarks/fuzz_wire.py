"""Raw connections for hostile requests: kept alive, pipelined, or closed behind the last byte."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from io import BufferedReader

PATIENCE = 20.0


class NoAnswer(Enum):
    """No answer of the site's."""

    SERVER = "501"
    CLOSED = "none"


@dataclass(frozen=True, slots=True)
class Sent:
    """A request; ``header`` is what is tried with it, ``alone``: nothing may follow it."""

    header: str
    method: str
    path: str
    headers: Mapping[str, bytes]
    body: bytes
    alone: bool

    def wire(self) -> bytes:
        """As it goes over the wire; values are sent as they are."""
        lines = [name.encode() + b": " + value for name, value in self.headers.items()]
        first = f"{self.method} {self.path} HTTP/1.1".encode()
        return b"\r\n".join([first, *lines, b"", self.body])


class Connection:
    """A connection to the server, opened when it is needed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self._reader: BufferedReader | None = None

    def pipelined(self, batch: Sequence[Sent]) -> list[int | NoAnswer]:
        """Send all at once; the answers until one of them was the last of the connection."""
        self._send(b"".join(one.wire() for one in batch))
        answers: list[int | NoAnswer] = []
        for one in batch:
            status, open_ = self._answer(one.method)
            if status is NoAnswer.CLOSED and answers and one is not batch[0]:
                break  # Closed behind the answer before, so this one may not have been read.
            answers.append(status)
            if not open_:
                break
        if len(answers) < len(batch) or not open_:
            self.close()
        return answers

    def last(self, one: Sent) -> int | NoAnswer:
        """Send it, and say that no more will come: who waits for a body stops waiting."""
        self._send(one.wire())
        with suppress(OSError):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_WR)
        status, _ = self._answer(one.method)
        self.close()
        return status

    def close(self) -> None:
        """Close it; the next request opens another."""
        if self._reader is not None:
            self._reader.close()
        if self._socket is not None:
            self._socket.close()
        self._socket = self._reader = None

    def _send(self, data: bytes) -> None:
        with suppress(OSError):
            if self._socket is None:
                self._socket = socket.create_connection(("127.0.0.1", self._port), PATIENCE)
                self._reader = self._socket.makefile("rb")
            self._socket.sendall(data)

    def _answer(self, method: str) -> tuple[int | NoAnswer, bool]:
        """The next status, and whether the connection stays open."""
        try:
            return self._read(method)
        except (OSError, ValueError, IndexError):
            return NoAnswer.CLOSED, False

    def _read(self, method: str) -> tuple[int | NoAnswer, bool]:
        reader = self._reader
        if reader is None:
            return NoAnswer.CLOSED, False
        status = int(reader.readline().split(b" ", 2)[1])
        headers = {}
        while line := reader.readline().strip():
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        if status == 100:
            return self._read(method)
        bodiless = method == "HEAD" or status in (204, 304)
        closing = headers.get(b"connection", b"").lower() == b"close"
        if not bodiless and b"content-length" in headers:
            reader.read(int(headers[b"content-length"]))
        elif not bodiless:
            closing = True  # Its end is the end of the connection.
        if status == 501 and b"x-request-id" not in headers:
            return NoAnswer.SERVER, False
        return status, not closing
