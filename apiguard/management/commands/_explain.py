"""``apiguard explain``: what the guard would answer to a request, stage by stage.

Nothing is counted. The credential is read from standard input and never printed.
"""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from itertools import chain

from django.views.decorators.debug import sensitive_variables

from ... import conf
from ...models import Client, Refusal
from ...policy import lookups
from ...policy.holder import holder
from ...policy.snapshot import empty
from ...request.described import BadDescription, build_request, credential_headers
from ...request.explain import explain_request
from ...request.explanation import Explanation, Step
from ...request.remedies import find_remedy
from ...rules.jwt_parse import MAX_TOKEN_LENGTH
from ...telemetry.refusal_search import find_refusals, why_not_found
from ._console import (
    Console,
    Options,
    SubCommand,
    found,
    named,
    standard_input,
    table,
    used_wrongly,
    whole_number,
)
from ._refusals import as_dict, describe

MOST_NAMED = 5
RESULTS = {
    "passed": "passed",
    "refused": "REFUSED",
    "would_refuse": "would refuse",
    "answered": "answered",
    "not_reached": "not reached",
}
# Option -> header.
HEADERS = {"origin": "Origin", "accept": "Accept", "content_type": "Content-Type"}


def _standard_input(text: str) -> str:
    if text != "-":
        # Arguments stand in the history of the shell and in the list of processes.
        raise ArgumentTypeError("A credential is read from standard input; write: --credential -")
    return text


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("method", metavar="METHOD", nargs="?")
    parser.add_argument(
        "path",
        metavar="PATH",
        nargs="?",
        help="a path (https, first of ALLOWED_HOSTS), or a whole URL",
    )
    parser.add_argument("--origin", help="the website that sends the request")
    parser.add_argument("--accept", help="media types that the caller accepts")
    parser.add_argument("--content-type", help="of the body; its length is 1 unless it is given")
    parser.add_argument("--content-length", type=whole_number(0, 2**62), metavar="BYTES")
    parser.add_argument("--address", default="127.0.0.1", help="IP address of the caller")
    parser.add_argument(
        "--request-id",
        metavar="ID",
        help="a refused request, instead of METHOD and PATH: why it was refused, and why it would "
        "be now",
    )
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--client", metavar="SLUG", help="as if it brought a valid key of this client")
    who.add_argument("--credential", metavar="-", type=_standard_input, help="a key or a token")


def _run(console: Console, options: Options) -> None:
    if options["request_id"] is None:
        if options["path"] is None:
            raise used_wrongly("Write METHOD and PATH, or --request-id ID.")
        _explain(console, options)
        return
    if options["method"] is not None:
        raise used_wrongly("Write either METHOD and PATH, or --request-id ID.")
    refusal = _find(options["request_id"])
    try:
        explanation, notes = _explain_now(refusal)
    except BadDescription as error:
        raise used_wrongly(str(error)) from error
    console.answer(
        {"refusal": as_dict(refusal), "now": explanation.as_dict(), "notes": notes},
        chain(describe(refusal), ("", "The same request now:"), _lines(explanation), notes),
    )
    if explanation.refused:
        raise found(f"The guard would answer {explanation.status}.")


@sensitive_variables()
def _explain(console: Console, options: Options) -> None:
    headers = {name: options[key] for key, name in HEADERS.items() if options[key] is not None}
    length = options["content_length"]
    if length is None and options["content_type"] is not None:
        length = 1
    if length is not None:
        headers["Content-Length"] = str(length)
    if options["credential"] is not None:
        headers |= credential_headers(_read_credential(console), conf.current())
    records = []
    if options["client"] is not None:
        client = named(Client, "slug", options["client"])
        records = lookups.read_client_keys(holder.snapshot() or empty(), client.slug)
    try:
        request = build_request(
            options["method"], options["path"], headers=headers, address=options["address"]
        )
    except BadDescription as error:
        raise used_wrongly(str(error)) from error
    explanation = explain_request(request, records=records)
    console.answer(explanation.as_dict(), _lines(explanation))
    if explanation.refused:
        raise found(f"The guard would answer {explanation.status}.")


@sensitive_variables()
def _read_credential(console: Console) -> str:
    stdin = standard_input()
    if stdin.isatty():
        console.note("Paste the key or token; end with Enter.")
    try:
        text = stdin.readline(2 * MAX_TOKEN_LENGTH).strip()
    except UnicodeDecodeError as error:
        # Without the cause: it holds what was read.
        raise used_wrongly(f"Standard input is no key or token: {error.reason}.") from None
    if not text:
        raise used_wrongly("Standard input holds no credential.")
    return text


def _find(text: str) -> Refusal:
    """Return the one refused request that the id names.

    Raises:
        CommandError: there is none, or several.
    """
    rows = find_refusals(text, MOST_NAMED + 1)
    if len(rows) == 1 or (rows and rows[0].request_id == text):
        return rows[0]
    if not rows:
        reasons = "".join(f"\n- {each}" for each in why_not_found(text))
        raise found(f"No refused request {text!r} is kept. Why that may be:{reasons}")
    named_ids = ", ".join(row.request_id for row in rows[:MOST_NAMED])
    raise used_wrongly(f"Several ids contain {text!r}: {named_ids}. Write more of it.")


def _explain_now(refusal: Refusal) -> tuple[Explanation, list[str]]:
    """Explain a kept request by the policy of now; say where the two may differ."""
    notes, records, address = [], [], refusal.address
    if refusal.client_slug:
        records = lookups.read_client_keys(holder.snapshot() or empty(), refusal.client_slug)
        same = [each for each in records if each.key_id == refusal.key_id]
        if not same:
            notes.append(f"Not the same: key {refusal.key_id} is gone.")
        records = same or records
        if refusal.outcome == "key_wrong_secret":
            notes.append("Not the same: the secret that was sent was wrong; here it is right.")
    elif refusal.brought_a_lost_credential:
        notes.append("Not the same: the credential that was sent is not kept, so none is judged.")
    if "/" in address:
        address = address.partition("/")[0]
        notes.append(f"Not the same: only the network {refusal.address} of the caller is kept.")
    headers = {"Origin": refusal.origin, "Accept": refusal.accept}
    if refusal.content_type:
        headers |= {"Content-Type": refusal.content_type, "Content-Length": "1"}
    request = build_request(
        refusal.method,
        refusal.path,
        headers={name: value for name, value in headers.items() if value},
        address=address or "127.0.0.1",
    )
    return explain_request(request, records=records), notes


def _lines(explained: Explanation) -> Iterator[str]:
    yield f"{explained.method} {explained.path}"
    yield from table(("STAGE", "VERDICT", "WHY", "ROW"), map(_row, explained.steps))
    yield ""
    yield _summary(explained)
    if explained.would_refuse:
        yield f"What to do: {find_remedy(explained.outcome)}"
    for name, value in explained.headers:
        yield f"    {name}: {value}"
    if explained.body:
        yield f"    {explained.body}"
    for one in explained.limits:
        shadow = " (shadow)" if one.shadow else ""
        yield f"Limit {one.row.name}{shadow}: {one.remaining:,} left of {one.rate}."
    for unknown in explained.unknowns:
        yield f"Not known: {unknown}"


def _row(step: Step) -> tuple[str, str, str, str]:
    row = "" if step.row is None else f"{step.row.model} {step.row.name}"
    return step.stage.replace("_", " "), RESULTS[step.result], step.reason, row


def _summary(explained: Explanation) -> str:
    if explained.status is not None:
        return f"The guard answers {explained.status} itself ({explained.outcome}):"
    if explained.would_refuse:
        return f"The route only observes; enforced, it would refuse ({explained.outcome})."
    return "The view answers. The guard adds:" if explained.headers else "The view answers."


COMMAND = SubCommand(
    "explain", "Say what the guard would answer to a request, and why.", _run, _arguments
)
