"""``apiguard refusals`` and ``apiguard forget``: refused requests, and how to erase a caller."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.db import router
from django.utils import timezone

from ...models import Client, HourlyCount, PolicyModel, Refusal, Route
from ...models.personal_data import BadPrincipal, erase
from ...models.refusals import RefusalQuerySet
from ...models.state import write_alias
from ...request.remedies import find_remedy
from ._console import Console, Options, SubCommand, moment, named, table, used_wrongly, whole_number

DAY = 24 * 60
MOST_LINES = 200


def as_dict(refusal: Refusal) -> dict[str, Any]:
    """Return one refused request for JSON."""
    plain = (
        *("request_id", "method", "path", "origin", "content_type", "accept", "status", "enforced"),
        *("outcome", "reason", "key_id", "principal", "address", "revision", "limits"),
    )
    return {
        "at": moment(refusal.at),
        **{name: getattr(refusal, name) for name in plain},
        "route": refusal.route_name or None,
        "client": refusal.client_slug or None,
        "row": _row(refusal),
    }


def _row(refusal: Refusal) -> dict[str, str] | None:
    if not refusal.row_model:
        return None
    return {"model": refusal.row_model, "pk": refusal.row_pk, "name": refusal.row_name}


def describe(refusal: Refusal) -> Iterator[str]:
    """Yield one refused request in lines for people."""
    verb = "answered" if refusal.enforced else "would have been answered"
    yield (
        f"{refusal.method} {refusal.path} {verb} {refusal.status} at {moment(refusal.at)} "
        f"(request {refusal.request_id})"
    )
    yield f"    why: {refusal.reason}"
    if refusal.row_model:
        yield f"    decided by: {refusal.row_model} {refusal.row_name}"
    if remedy := find_remedy(refusal.outcome):
        yield f"    what to do: {remedy}"
    by = f"client {refusal.client_slug}" if refusal.client_slug else refusal.principal
    key = f", key {refusal.key_id}" if refusal.key_id else ""
    yield f"    caller: {by}{key}, from {refusal.address or 'an unknown address'}"
    yield f"    route: {refusal.route_name or 'none'}, revision {refusal.revision}"


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--client", metavar="SLUG", help="of this client alone")
    parser.add_argument("--route", metavar="NAME", help="of this route alone")
    parser.add_argument(
        "--since",
        type=whole_number(1, 3650 * DAY),
        default=DAY,
        metavar="MINUTES",
        help="how far back; a day unless it is given",
    )


def _run(console: Console, options: Options) -> None:
    since = timezone.now() - timedelta(minutes=options["since"])
    rows = Refusal.objects.using(router.db_for_write(Refusal))
    if options["client"] is not None:
        rows = _narrowed(rows, Client, "slug", client_slug=options["client"])
    if options["route"] is not None:
        rows = _narrowed(rows, Route, "name", route_name=options["route"])
    found = list(rows.filter(at__gte=since)[: MOST_LINES + 1])
    shown = found[:MOST_LINES]
    unkept = HourlyCount.objects.using(write_alias()).unkept_since(since)
    heads = ("WHEN", "REQUEST", "STATUS", "CLIENT", "METHOD", "PATH", "WHY")
    console.answer([as_dict(each) for each in shown], table(heads, map(_cells, shown)))
    if len(found) > MOST_LINES:
        console.note(f"Only the newest {MOST_LINES} are shown; ask for fewer minutes.")
    if unkept:
        console.note(f"{unkept:,} more were refused and counted, but not kept as rows.")
    if not found:
        console.note("Nothing that is kept was refused in this time.")


def _narrowed(
    rows: RefusalQuerySet, model: type[PolicyModel], field: str, **wanted: str
) -> RefusalQuerySet:
    """Return the rows of one client or route, which may be deleted since."""
    narrowed = rows.filter(**wanted)
    if not narrowed.exists():
        named(model, field, *wanted.values())
    return narrowed


def _cells(refusal: Refusal) -> tuple[str, ...]:
    observed = "" if refusal.enforced else "would refuse: "
    return (
        moment(refusal.at) or "",
        refusal.request_id,
        str(refusal.status),
        refusal.client_slug or refusal.principal,
        refusal.method,
        refusal.path,
        f"{observed}{refusal.reason}",
    )


def _forget_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "principal",
        metavar="PRINCIPAL",
        help="as rows name it: client:7, user:7, jwt:1:alice or ip:192.0.2.1",
    )


def _forget(console: Console, options: Options) -> None:
    try:
        erased = erase(options["principal"], write_alias())
    except BadPrincipal as error:
        raise used_wrongly(str(error)) from error
    lines = [f"{count:,} {name} erased." for name, count in erased.items()]
    console.answer(erased, lines)
    console.note("Workers write for three more seconds what they hold of earlier requests.")


COMMAND = SubCommand("refusals", "List refused requests, the newest first.", _run, _arguments)
FORGET = SubCommand(
    "forget", "Erase a caller from refused requests and counts.", _forget, _forget_arguments
)
