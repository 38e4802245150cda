"""``apiguard counters`` and ``apiguard unlock``: what is used of limits, and counting from zero."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ... import conf
from ...counters.base import CounterUnavailable
from ...models import Client, acting
from ...models.resets import recorded_reset, recorded_unlock
from ...policy import lookups
from ...policy.holder import PolicyUnavailable, holder
from ...policy.snapshot import Snapshot, empty
from ...request import limit_use
from ...request.reasons import format_limit
from ...rules.limits import Counted, Limit
from ...rules.networks import counted_as, parse_address
from ._console import Console, Options, SubCommand, found, named, table, used_wrongly

IN_MEMORY = (
    "Limits are counted in the memory of each process (COUNTER), which no other process can reach."
)


def _snapshot() -> Snapshot:
    try:
        return holder.snapshot() or empty()
    except PolicyUnavailable as error:
        raise used_wrongly("The policy cannot be read: the database does not answer.") from error


def _limits_of(snapshot: Snapshot, client: Client) -> tuple[Limit, ...]:
    # Never empty: a client without a key is answered with a record all the same.
    records = lookups.read_client_keys(snapshot, client.slug)
    return limit_use.client_limits(snapshot, records[0].client)


def _show_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("client", metavar="CLIENT", help="slug of the client")


def _show(console: Console, options: Options) -> None:
    client = named(Client, "slug", options["client"])
    snapshot = _snapshot()
    limits = _limits_of(snapshot, client)
    if conf.current().counter == "memory" and limits:
        raise used_wrongly(IN_MEMORY)
    try:
        used = limit_use.read_use(conf.current(), limit_use.principal_of(client.pk), limits)
    except CounterUnavailable as error:
        raise used_wrongly(f"{error}. Nothing is known of what is used.") from error
    routes = limit_use.route_names(snapshot)
    rows = [_row(used[limit.key], routes) for limit in limits]
    console.answer({"client": client.slug, "limits": rows}, _lines(client, rows))


def _row(one: Counted, routes: Mapping[Any, str]) -> dict[str, Any]:
    limit = one.limit
    return {
        "limit": limit.name,
        "unit": limit.unit,
        "route": routes.get(limit.route_pk),
        "rate": format_limit(limit),
        "amount": limit.amount,
        "used": one.used,
        "remaining": one.remaining,
        "shadow": limit.shadow,
    }


def _lines(client: Client, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not rows:
        yield f"{client.slug} is not limited."
        return
    cells = (
        (
            row["limit"]
            + (f" on {row['route']}" if row["route"] else "")
            + (" (shadow)" if row["shadow"] else ""),
            f"{row['used']:,}",
            f"{row['remaining']:,}",
            row["rate"],
        )
        for row in rows
    )
    yield from table(("LIMIT", "USED", "LEFT", "RATE"), cells)


def _reset_arguments(parser: ArgumentParser) -> None:
    _show_arguments(parser)
    parser.add_argument("--limit", metavar="NAME", help="this limit only; default: all")


def _reset(console: Console, options: Options) -> None:
    client = named(Client, "slug", options["client"])
    limits = [
        one for one in _limits_of(_snapshot(), client) if options["limit"] in (None, one.name)
    ]
    if not limits:
        of = f" of the name {options['limit']!r}" if options["limit"] else ""
        raise found(f"{client.slug} has no limit{of}. See: apiguard counters show {client.slug}")
    if conf.current().counter == "memory":
        raise used_wrongly(IN_MEMORY)
    names = list(dict.fromkeys(one.name for one in limits))
    principal = limit_use.principal_of(client.pk)
    try:
        with (
            acting(name="apiguard counters reset (command line)"),
            recorded_reset(client, names),
        ):
            keys = [one.key for one in limits]
            seconds = limit_use.reset_use(conf.current(), principal, keys)
    except CounterUnavailable as error:
        raise used_wrongly(f"{error}. Nothing is known of what was reset; try again.") from error
    answer = {"client": client.slug, "limits": names, "seconds": seconds}
    text = f"Counted from zero for {client.slug}: {', '.join(names)}."
    if seconds:
        text = (
            f"Counted from zero for {client.slug} in {seconds} s, when the units that processes "
            f"have reserved are used or returned: {', '.join(names)}."
        )
    console.answer(answer, [text])


def _address(text: str) -> str:
    address = parse_address(text)
    if address is None:
        raise ArgumentTypeError(f"{text!r} is no IP address. Write one such as 192.0.2.1.")
    return counted_as(address)


def _unlock_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("address", metavar="ADDRESS", type=_address, help="such as 192.0.2.1")


def _unlock(console: Console, options: Options) -> None:
    principal, settings = options["address"], conf.current()
    snapshot = _snapshot()
    # An address is counted in the anonymous tiers of routes; in the others it has used nothing.
    limits = {
        limit.key
        for tier in snapshot.tiers.values()
        for limit in limit_use.on_each_route(tier, snapshot)
    }
    try:
        with acting(name="apiguard unlock (command line)"), recorded_unlock(principal):
            if settings.counter != "memory":
                limit_use.reset_use(settings, principal, sorted(limits))
    except CounterUnavailable as error:
        raise used_wrongly(f"{error}. The address is not unlocked; try again.") from error
    address = principal.removeprefix("ip:")
    console.answer(
        {"unlocked": address},
        [f"Unlocked {address}: its failed credentials and its limits count from zero."],
    )
    if settings.counter == "memory":
        console.note(f"Its limits do not: {IN_MEMORY[0].lower()}{IN_MEMORY[1:]}")


COMMANDS: Sequence[SubCommand] = (
    SubCommand("show", "Print what a client has used of its limits.", _show, _show_arguments),
    SubCommand("reset", "Count a client's limits from zero.", _reset, _reset_arguments),
)
UNLOCK = SubCommand(
    "unlock",
    "Count an address's failed credentials and limits from zero.",
    _unlock,
    _unlock_arguments,
)
