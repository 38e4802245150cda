"""``apiguard client``: add clients, for projects without the admin."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError

from ...models import Client, Tier, acting
from ...models.state import write_alias
from ._console import Console, Options, SubCommand, named, refused, used_wrongly


def _create_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("slug", metavar="SLUG", help="short name in commands, such as acme")
    parser.add_argument("--name", help="name for people; default: the slug")
    parser.add_argument("--tier", metavar="SLUG", help="tier of limits; default: not limited")
    parser.add_argument("--owner", metavar="USERNAME", help="the user whom the client belongs to")


def _create(console: Console, options: Options) -> None:
    using, slug = write_alias(), options["slug"]
    tier = None if options["tier"] is None else named(Tier, "slug", options["tier"])
    client = Client(
        slug=slug,
        name=options["name"] or slug,
        tier=tier,
        owner=_owner(options["owner"]),
    )
    with acting(name="apiguard client create (command line)"):
        try:
            client.full_clean()
        except ValidationError as error:
            raise refused(error, "No client was created") from error
        client.save(using=using)
    limited = f"in tier {tier.slug}" if tier is not None else "not limited"
    console.answer(
        {"client": client.slug, "id": client.pk, "tier": tier.slug if tier else None},
        [f"Created the client {client.slug}, {limited}."],
    )
    console.note(f"Create its first key with: apiguard key create {client.slug} --name NAME")


def _owner(username: str | None) -> object:
    if username is None:
        return None
    users = get_user_model()
    # A custom user model has its own kind of name.
    found = users._default_manager.filter(**{users.USERNAME_FIELD: username}).first()
    if found is None:
        raise used_wrongly(f"There is no user {username!r}.")
    return found


COMMANDS: Sequence[SubCommand] = (
    SubCommand("create", "Create a client.", _create, _create_arguments),
)
