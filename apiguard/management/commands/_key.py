"""``apiguard key``: make, list, rotate and revoke API keys.

A key's text goes to standard output once, when it is made. It is never read
from an argument: what names a key here is its public id.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.utils import timezone

from ... import conf
from ...errors import PolicyError
from ...models import ApiKey, Client, acting
from ...models.key_conditions import hashed_with, unused
from ...models.state import write_alias
from ...rules import keys as key_rules
from . import _key_verify
from ._console import (
    Console,
    Options,
    SubCommand,
    found,
    moment,
    named,
    reason,
    refused,
    table,
    used_wrongly,
    whole_number,
)

MAX_DAYS = 36_500
MAX_GRACE = 366 * 86_400


def _create_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("client", metavar="CLIENT", help="slug of the client that owns the key")
    parser.add_argument("--name", required=True, help="what the key is for")
    parser.add_argument("--scopes", default="", help="comma-separated, such as orders:read")
    parser.add_argument("--environment", choices=key_rules.ENVIRONMENTS, default="live")
    parser.add_argument(
        "--expires-in", type=whole_number(1, MAX_DAYS), metavar="DAYS", help="default: never"
    )


def _create(console: Console, options: Options) -> None:
    client = named(Client, "slug", options["client"])
    days = options["expires_in"]
    scopes = [scope for part in options["scopes"].split(",") if (scope := part.strip())]
    with acting(name="apiguard key create (command line)"):
        key, text = _made(
            ApiKey.objects.db_manager(write_alias()).issue,
            client,
            options["name"],
            scopes,
            options["environment"],
            None if days is None else timezone.now() + timedelta(days=days),
        )
    _show_once(console, key, text)


def _made(make: Callable[..., tuple[ApiKey, str]], *args: Any) -> tuple[ApiKey, str]:
    try:
        return make(*args)
    except (PolicyError, ValidationError) as error:
        raise refused(error, "No key was made") from error


def _show_once(console: Console, key: ApiKey, text: str, **more: Any) -> None:
    data = {
        "key_id": key.key_id,
        "key": text,
        "client": key.client.slug,
        "name": key.name,
        "environment": key.environment,
        "scopes": key.scopes,
        "expires_at": moment(key.expires_at),
        **more,
    }
    console.note(
        f"The key {key.key_id} of {key.client.slug} follows, on standard output. "
        "It cannot be shown again."
    )
    if not key.client.enabled:
        console.note(f"The client {key.client.slug} is not enabled: its keys are refused.")
    if key.environment == "test" and not conf.current().allow_test_keys:
        console.note("APIGUARD['ALLOW_TEST_KEYS'] is False here: test keys are refused.")
    console.answer(data, [text])


def _list_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--client", metavar="SLUG", help="only the keys of this client")
    parser.add_argument(
        "--unused",
        type=whole_number(1, MAX_DAYS),
        metavar="DAYS",
        help="only living keys that were made and last used, if ever, at least so long ago",
    )
    parser.add_argument(
        "--pepper", metavar="ID", help="only living keys that die when this pepper is removed"
    )


def _list(console: Console, options: Options) -> None:
    keys = ApiKey.objects.using(write_alias()).select_related("client")
    if options["client"] is not None:
        keys = keys.filter(client=named(Client, "slug", options["client"]))
    now = timezone.now()
    if options["unused"] is not None:
        keys = keys.filter(unused(now, options["unused"]))
    if options["pepper"] is not None:
        keys = keys.filter(hashed_with(options["pepper"], now))
    rows = [_row(key, now) for key in keys.order_by("client__slug", "created_at", "pk")]
    heads = ["key_id", "client", "name", "environment", "status", "scopes", "expires_at"]
    if options["unused"] is not None:
        heads.append("last_used_at")
    lines = table(heads, [[_cell(row[head]) for head in heads] for row in rows])
    narrowed = any(options[name] is not None for name in ("client", "unused", "pepper"))
    console.answer(rows, lines if rows else [f"There are no {'such ' if narrowed else ''}keys."])


def _row(key: ApiKey, now: datetime) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "client": key.client.slug,
        "name": key.name,
        "environment": key.environment,
        "status": str(key.state(now)),
        "scopes": key.scopes,
        "created_at": moment(key.created_at),
        "not_before": moment(key.not_before),
        "expires_at": moment(key.expires_at),
        "revoked_at": moment(key.revoked_at),
        "last_used_at": moment(key.last_used_at),
    }


def _cell(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "-"
    return str(value or "-")


def _one_key_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "key_id", metavar="KEY_ID", help="the key's public id, as key list shows it"
    )
    parser.add_argument("--reason", required=True, type=reason, help="why; the history keeps it")


def _revoke(console: Console, options: Options) -> None:
    key = _key(options["key_id"])
    earlier = key.revoked_at
    with acting(name="apiguard key revoke (command line)", reason=options["reason"]):
        key.revoke(options["reason"])
    data = {"key_id": key.key_id, "revoked_at": moment(key.revoked_at)}
    state = f"was revoked already, at {moment(earlier)}" if earlier else "is revoked"
    console.answer(data, [f"The key {key.key_id} of {key.client.slug} {state}."])


def _rotate_arguments(parser: ArgumentParser) -> None:
    _one_key_arguments(parser)
    # Without a default: a key that ends at once may cut its client off.
    end = parser.add_mutually_exclusive_group(required=True)
    end.add_argument(
        "--grace",
        type=whole_number(0, MAX_GRACE),
        metavar="SECONDS",
        help="how long the old key goes on working",
    )
    end.add_argument(
        "--now", dest="grace", action="store_const", const=0, help="the old key ends at once"
    )


def _rotate(console: Console, options: Options) -> None:
    old = _key(options["key_id"])
    grace, why = timedelta(seconds=options["grace"]), options["reason"]
    if old.rotated_at is not None:
        newest = old.replaced_by.order_by("pk").last()
        named_so = f"; its newest successor is {newest.key_id}" if newest is not None else ""
        console.note(f"The key {old.key_id} was rotated before{named_so}.")
    with acting(name="apiguard key rotate (command line)", reason=why):
        key, text = _made(old.rotate, grace, None, why)
    ends = old.revoked_at or old.expires_at
    console.note(f"The key {old.key_id} ends at {moment(ends)}.")
    _show_once(console, key, text, replaces=old.key_id, replaced_ends_at=moment(ends))


def _key(key_id: str) -> ApiKey:
    namespace = conf.current().key_namespace
    if key_rules.has_key_shape(key_id, namespace):
        raise _whole_key(key_id, namespace)
    keys = ApiKey.objects.using(write_alias()).select_related("client")
    key: ApiKey | None = keys.filter(key_id=key_id).first()
    if key is None:
        raise found(f"There is no key {key_id[:12]!r}. See the ids with: apiguard key list")
    return key


def _whole_key(text: str, namespace: str) -> CommandError:
    # The text is a secret, and what is printed may be kept in a log.
    parts = key_rules.parse(text, namespace)
    hint = f"Its id is {parts.key_id}." if parts else "The id is its third part."
    return used_wrongly(f"This is a whole key; give its id alone, which is no secret. {hint}")


def _pattern(console: Console, options: Options) -> None:
    pattern = key_rules.pattern(conf.current().key_namespace)
    console.answer({"pattern": pattern}, [pattern])


COMMANDS: Sequence[SubCommand] = (
    SubCommand("create", "Make a key and print it, once.", _create, _create_arguments),
    SubCommand("list", "List keys, without their secrets.", _list, _list_arguments),
    SubCommand("rotate", "Make a key's successor and print it.", _rotate, _rotate_arguments),
    SubCommand("revoke", "End a key, now and for good.", _revoke, _one_key_arguments),
    _key_verify.COMMAND,
    SubCommand(
        "pattern",
        "Print a regular expression for secret scanners.",
        _pattern,
        needs_tables=False,
    ),
)
