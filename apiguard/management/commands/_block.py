"""``apiguard block`` and ``unblock``: refuse a network before anything else, and end it."""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from ...errors import NetworkError
from ...models import BlockedNetwork, acting
from ...models.state import write_alias
from ...rules.networks import Network, parse_network
from ._console import Console, Options, SubCommand, found, moment, reason, refused

NEVER = "never"
_SPAN = re.compile(r"([1-9][0-9]{0,5})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def end(text: str) -> datetime | None:
    """Return an argument that is a time to come: a span, a date and time, or ``never``."""
    if text == NEVER:
        return None
    span = _SPAN.fullmatch(text)
    try:
        at = parse_datetime(text) if span is None else None
        if span is not None:
            at = timezone.now() + timedelta(**{_UNITS[span[2]]: int(span[1])})
        if at is not None and timezone.is_naive(at):
            at = timezone.make_aware(at)
        if at is not None and at > timezone.now():
            return at
    except (ValueError, OverflowError):
        at = None
    if at is not None:
        raise ArgumentTypeError(f"{text!r} has passed.")
    raise ArgumentTypeError(
        f"{text!r} is no time. Write one like 30m, 2h, 7d, 2030-01-31T18:00, or {NEVER}."
    )


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("network", metavar="NETWORK", help="192.0.2.7, 192.0.2.0/24 or an IPv6 one")


def _block_arguments(parser: ArgumentParser) -> None:
    _arguments(parser)
    parser.add_argument(
        "--until", type=end, required=True, metavar="WHEN", help="30m, 2h, 7d, a time, or never"
    )
    parser.add_argument("--reason", type=reason, required=True, metavar="TEXT")


def _block(console: Console, options: Options) -> None:
    network = _network(options["network"])
    rows = BlockedNetwork.objects.using(write_alias())
    row = rows.filter(network=str(network)).first()
    is_new = row is None
    row = row or BlockedNetwork(network=str(network))
    row.until, row.reason = options["until"], options["reason"]
    with acting(name="apiguard block (command line)", reason=row.reason):
        try:
            row.full_clean()
        except ValidationError as error:
            raise refused(error, "Nothing was blocked") from error
        row.save(using=write_alias())
    until = moment(row.until)
    data = {"network": row.network, "until": until, "reason": row.reason, "created": is_new}
    ends = "until it is unblocked" if until is None else f"until {until}"
    console.answer(data, [f"Blocked {row.network} {ends}."])
    console.note(f"Unblock it with: apiguard unblock {row.network}")


def _unblock(console: Console, options: Options) -> None:
    network = _network(options["network"])
    row = BlockedNetwork.objects.using(write_alias()).filter(network=str(network)).first()
    if row is None:
        raise found(f"{network} is not blocked.{_wider(network)}")
    with acting(name="apiguard unblock (command line)"):
        row.delete()
    left = _wider(network)
    console.answer({"network": str(network)}, [f"Unblocked {network}.{left}"])


def _network(text: str) -> Network:
    try:
        return parse_network(text)
    except NetworkError as error:
        raise refused(error, "Nothing was changed") from error


def _wider(network: Network) -> str:
    """Return a sentence on the blocks that hold all of ``network``; empty without one."""
    wider = (str(network.supernet(new_prefix=length)) for length in range(network.prefixlen))
    rows = BlockedNetwork.objects.using(write_alias()).filter(network__in=list(wider))
    names = ", ".join(rows.values_list("network", flat=True))
    return f" It is in {names}, which is blocked." if names else ""


COMMANDS = (
    SubCommand("block", "Refuse all requests from a network.", _block, _block_arguments),
    SubCommand("unblock", "End the block of a network.", _unblock, _arguments),
)
