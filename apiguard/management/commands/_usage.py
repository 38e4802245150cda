"""``apiguard usage``: how many requests came, by route, client, key and outcome."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from ... import conf
from ...models import ApiKey, Client, Route
from ...models.usage import NOBODY, OTHERS, UsageKey
from ...rules.setting_values import MAX_DAYS
from ...telemetry import usage_report
from ...telemetry.usage_report import Names, Period, Selection, Share, Totals, Units
from ._console import Console, Options, SubCommand, moment, named, table, whole_number

ROWS_SHOWN = 1_000
UNIT_HEADS = ("DAY", "ROUTE", "CLIENT", "UNIT", "USED")
KINDS = {NOBODY: "none", OTHERS: "others"}


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--client", metavar="SLUG", help="requests of this client only")
    parser.add_argument("--key", metavar="KEY_ID", help="requests with this key only")
    parser.add_argument("--route", metavar="NAME", help="requests of this route only")
    parser.add_argument(
        "--days",
        type=whole_number(1, MAX_DAYS),
        default=7,
        metavar="N",
        help="today and the days before it; 1: the last 24 hours; default: 7",
    )


def _run(console: Console, options: Options) -> None:
    key = None if options["key"] is None else named(ApiKey, "key_id", options["key"])
    client = None if options["client"] is None else named(Client, "slug", options["client"])
    route = None if options["route"] is None else named(Route, "name", options["route"])
    selection = Selection.of_days(
        options["days"],
        client_pk=client.pk if client else key.client_id if key else None,
        key_pk=None if key is None else key.pk,
        route_pk=None if route is None else route.pk,
    )
    found = usage_report.shares(selection, UsageKey._fields, most=ROWS_SHOWN + 1)
    shown = found[:ROWS_SHOWN]
    keys = [UsageKey(*share.key) for share in shown]
    units = usage_report.settled_units(selection, most=ROWS_SHOWN)
    names = usage_report.names_of(
        [*(one.route_pk for one in keys), *(one.route_pk for one in units)],
        [*(one.client_pk for one in keys), *(one.client_pk for one in units)],
        [one.key_pk for one in keys],
    )
    answer = {
        "since": moment(selection.since),
        **_totals(usage_report.totals(selection)),
        "lost": selection.lost(),
        "overruns": selection.overruns(),
        "units": [_units(one, names) for one in units],
        "rows": [_row(share, names) for share in shown],
        "has_more_rows": len(found) > len(shown),
        "periods": [_period(period) for period in usage_report.periods(selection)],
    }
    console.answer(answer, _lines(answer))
    if not conf.current().usage_keep_days:
        console.note("Nothing is counted: APIGUARD['USAGE_KEEP_DAYS'] is 0.")


def _totals(totals: Totals) -> dict[str, int]:
    return {
        "requests": totals.requests,
        "refused": totals.refused,
        "would_refuse": totals.would_refuse,
    }


def _row(share: Share, names: Names) -> dict[str, Any]:
    key = UsageKey(*share.key)
    client, api_key = names.clients.get(key.client_pk), names.keys.get(key.key_pk)
    route = names.routes.get(key.route_pk)
    return {
        "route": None if route is None else route.name,
        "caller": KINDS.get(key.client_pk, "client"),
        "client": None if client is None else client.slug,
        "key": None if api_key is None else api_key.key_id,
        "outcome": key.outcome,
        "enforced": key.enforced,
        "requests": share.totals.requests,
        "last": moment(share.last),
    }


def _units(used: Units, names: Names) -> dict[str, Any]:
    client, route = names.clients.get(used.client_pk), names.routes.get(used.route_pk)
    return {
        "day": used.day.date().isoformat(),
        "route": None if route is None else route.name,
        "caller": KINDS.get(used.client_pk, "client"),
        "client": None if client is None else client.slug,
        "unit": used.unit,
        "amount": used.amount,
    }


def _period(period: Period) -> dict[str, Any]:
    return {"start": moment(period.start), **_totals(period.totals)}


def _lines(answer: dict[str, Any]) -> Iterator[str]:
    would = f", {answer['would_refuse']:,} would be" if answer["would_refuse"] else ""
    yield (
        f"{answer['requests']:,} requests since {answer['since']}: "
        f"{answer['refused']:,} refused{would}."
    )
    if answer["overruns"]:
        yield f"{answer['overruns']:,} of these used more of a unit than they had reserved."
    if answer["lost"]:
        yield f"{answer['lost']:,} more were not recorded, because writing them failed."
    if answer["rows"]:
        yield ""
        heads = ("REQUESTS", "ROUTE", "CLIENT", "KEY", "OUTCOME", "LAST")
        yield from table(heads, map(_cells, answer["rows"]))
    if answer["units"]:
        yield ""
        yield from table(UNIT_HEADS, map(_unit_cells, answer["units"]))
    if answer["has_more_rows"]:
        yield f"Only the {ROWS_SHOWN:,} highest numbers are listed."


def _unit_cells(row: dict[str, Any]) -> tuple[str, ...]:
    route, amount = row["route"] or "(deleted)", f"{row['amount']:,}"
    return row["day"], route, row["client"] or _no_client(row), row["unit"], amount


def _no_client(row: dict[str, Any]) -> str:
    return "(deleted)" if row["caller"] == "client" else f"({row['caller']})"


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    observed = "" if row["enforced"] else " (observed)"
    return (
        f"{row['requests']:,}",
        row["route"] or "(deleted)",
        row["client"] or _no_client(row),
        row["key"] or "-",
        row["outcome"].replace("_", " ") + observed,
        row["last"],
    )


COMMAND = SubCommand("usage", "Print how many requests came, and from whom.", _run, _arguments)
