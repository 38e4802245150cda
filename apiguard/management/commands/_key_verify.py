"""``apiguard key verify -``: which keys in a text are live, and an end to them.

The text is a log, a dump, a repository: read from standard input in pieces, so
that its size does not matter. A whole key is never printed.
"""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, BinaryIO

from django.utils import timezone

from ... import conf
from ...models import Identified, acting, identify
from ...rules.keys import KeyParts, find, key_length
from ._console import Console, Options, SubCommand, found, reason, standard_input, used_wrongly

PIECE = 64 * 1024
BATCH = 200
# Keys of this site are as many as it has; what others made up has no such bound.
MOST_REMEMBERED = 100_000
MOST_STRANGERS = 1_000

LIVE, DEAD, OTHER, UNKNOWN = "live", "dead", "another secret", "unknown"


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that has the form of a key; ``parts`` is ``None`` if its checksum is wrong."""

    line: int
    parts: KeyParts | None = field(repr=False)


def candidates(stream: BinaryIO, namespace: str) -> Iterator[Candidate]:
    """Yield everything in ``stream`` that has the form of a key, in bounded memory."""
    longest = key_length(namespace)
    line, rest = 1, b""
    while piece := stream.read(PIECE):
        data, done, counted = rest + piece, 0, 0
        for end, parts in find(data, namespace):
            line, counted, done = line + data.count(b"\n", counted, end), end, end
            yield Candidate(line, parts)
        # A key may be cut in two here.
        kept = max(done, len(data) - longest + 1, 0)
        line += data.count(b"\n", counted, kept)
        rest = data[kept:]


@dataclass(slots=True)
class Scan:
    """What was found so far."""

    reason: str = ""
    keys: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    not_listed: int = 0
    wrong_checksum: int = 0
    _seen: dict[bytes, None] = field(default_factory=dict, repr=False)
    _batch: list[tuple[int, KeyParts]] = field(default_factory=list, repr=False)

    def add(self, candidate: Candidate) -> None:
        """Judge one candidate; each distinct key once."""
        parts = candidate.parts
        if parts is None:
            self.wrong_checksum += 1
            return
        mark = sha256(parts.text.encode()).digest()[:16]
        if mark in self._seen:
            return
        self._seen[mark] = None
        if len(self._seen) > MOST_REMEMBERED:
            del self._seen[next(iter(self._seen))]
        self._batch.append((candidate.line, parts))
        if len(self._batch) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Report the gathered keys; one query, and the ends that were requested."""
        lines, parts = [line for line, _ in self._batch], [each for _, each in self._batch]
        self._batch.clear()
        if parts:
            for line, one in zip(lines, identify(parts, timezone.now()), strict=True):
                self._note(line, one)

    def _note(self, line: int, one: Identified) -> None:
        verdict = _verdict(one)
        self.counts[verdict] += 1
        if verdict == LIVE and self.reason and one.key is not None:
            one.key.revoke(self.reason)
        if verdict in (OTHER, UNKNOWN) and self._strangers() > MOST_STRANGERS:
            self.not_listed += 1
            return
        self.keys.append(_result(line, one, verdict, ended=verdict == LIVE and bool(self.reason)))

    def _strangers(self) -> int:
        return self.counts[OTHER] + self.counts[UNKNOWN]


def _verdict(one: Identified) -> str:
    if one.is_ours:
        return LIVE if one.is_live else DEAD
    return UNKNOWN if one.key is None else OTHER


def _result(line: int, one: Identified, verdict: str, *, ended: bool) -> dict[str, Any]:
    key = one.key
    return {
        "key": one.shown,
        "line": line,
        "verdict": verdict,
        "state": None if one.state is None else str(one.state),
        "by_id_alone": one.by_id_alone,
        "key_id": None if key is None else key.key_id,
        "client": None if key is None else key.client.slug,
        "name": None if key is None else key.name,
        "revoked_now": ended,
    }


def _sentence(found: dict[str, Any]) -> str:
    start = f"line {found['line']}: {found['key']}"
    owner = f"{found['name']!r} of {found['client']}"
    if found["verdict"] == UNKNOWN:
        return f"{start} is unknown: no key of this site has this id."
    if found["verdict"] == OTHER:
        return f"{start} is not {owner}: the id is its, the secret is another one."
    state = "" if found["state"] == "valid" else f" ({found['state']})"
    alone = " (found by its id alone: its pepper is gone)" if found["by_id_alone"] else ""
    now = " It is revoked now." if found["revoked_now"] else ""
    return f"{start} is {found['verdict']}{state}: {owner}{alone}.{now}"


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("source", metavar="-", type=_standard_input, help="read standard input")
    parser.add_argument("--revoke", action="store_true", help="end the keys that are live")
    parser.add_argument("--reason", type=reason, help="why, with --revoke")


def _standard_input(text: str) -> str:
    if text != "-":
        # Arguments stand in the history of the shell and in the list of processes.
        raise ArgumentTypeError("Keys are read from standard input alone; write: key verify -")
    return text


def _run(console: Console, options: Options) -> None:
    if options["revoke"] != (options["reason"] is not None):
        raise used_wrongly("--revoke and --reason TEXT go together: say why the keys end.")
    stdin = standard_input()
    if stdin.isatty():
        console.note("Paste keys, or a text with keys in it; end with Ctrl+D.")
    scan = Scan(reason=options["reason"] or "")
    with acting(name="apiguard key verify (command line)", reason=scan.reason):
        for candidate in candidates(stdin.buffer, conf.current().key_namespace):
            scan.add(candidate)
        scan.flush()
    _answer(console, scan)
    if live := scan.counts[LIVE]:
        done = "revoked now" if scan.reason else "Rotate or revoke them (--revoke --reason TEXT)"
        raise found(f"{live} live key{'s' if live > 1 else ''} found. {done}.")


def _answer(console: Console, scan: Scan) -> None:
    counts = {verdict: scan.counts[verdict] for verdict in (LIVE, DEAD, OTHER, UNKNOWN)}
    data = {
        "keys": scan.keys,
        "counts": counts,
        "not_listed": scan.not_listed,
        "wrong_checksum": scan.wrong_checksum,
    }
    lines = [_sentence(found) for found in scan.keys]
    if scan.not_listed:
        lines.append(f"{scan.not_listed:,} more that are not of this site are not listed.")
    if scan.wrong_checksum:
        lines.append(f"{scan.wrong_checksum:,} with a wrong checksum: mistyped, or cut short.")
    summary = ", ".join(f"{count:,} {verdict}" for verdict, count in counts.items())
    console.answer(data, [*lines, f"Found: {summary}."])


COMMAND = SubCommand(
    "verify", "Say which keys in a text on standard input are live.", _run, _arguments
)
