"""``apiguard route``: create and change routes, for projects without the admin."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError

from ...errors import PathError
from ...models import CorsPolicy, HeaderPolicy, PolicyModel, Route, Tier, acting
from ...models.state import write_alias
from ...rules.paths import normalise_prefix
from ._console import Console, Options, SubCommand, named, refused, whole_number

MAX_BYTES = 2**53
MAX_COST = 2**31 - 1
# Option -> how the row it names is found.
REFERENCES: dict[str, tuple[type[PolicyModel], str]] = {
    "cors_policy": (CorsPolicy, "name"),
    "header_policy": (HeaderPolicy, "name"),
    "anonymous_tier": (Tier, "slug"),
    "user_tier": (Tier, "slug"),
}
LISTS = ("required_scopes", "methods", "accepts", "produces")
PLAIN = ("name", "mode", "access", "max_body_bytes", "cost")


def _set_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("prefix", metavar="PREFIX", help="path prefix, such as /api/")
    parser.add_argument("--name", help="name of the route; a new one is named like its prefix")
    parser.add_argument("--mode", choices=Route.Mode.values)
    parser.add_argument("--access", choices=Route.Access.values)
    for name in LISTS:
        parser.add_argument(_flag(name), metavar="A,B", help="comma-separated; '' empties the list")
    for name, (model, field) in REFERENCES.items():
        text = f"{field} of the {model._meta.verbose_name}; '' for none"
        parser.add_argument(_flag(name), metavar=field.upper(), help=text)
    parser.add_argument("--max-body-bytes", type=whole_number(0, MAX_BYTES), metavar="BYTES")
    parser.add_argument("--cost", type=whole_number(1, MAX_COST), metavar="UNITS")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _set(console: Console, options: Options) -> None:
    try:
        prefix = normalise_prefix(options["prefix"])
    except PathError as error:
        raise refused(error, "No route was changed") from error
    routes = Route.objects.using(write_alias())
    route = routes.filter(path_prefix=prefix).first()
    is_new = route is None
    if route is None:
        route = Route(name=prefix, path_prefix=prefix, mode=Route.Mode.OBSERVE)
    values = _values(options)
    for name, value in values.items():
        setattr(route, name, value)
    with acting(name="apiguard route set (command line)"):
        try:
            if is_new or set(values) - {"mode"}:
                route.full_clean()
            # Else the route may have errors: they must not keep it from being switched off.
        except ValidationError as error:
            raise refused(error, "No route was changed") from error
        if is_new or values:
            route.save(using=write_alias())
    data = {"created": is_new, "changed": sorted(values), **_shown(route)}
    done = "Created" if is_new else "Changed" if values else "Nothing to change in"
    console.answer(data, [f"{done} the route {route.name}: {route.mode}, {route.access}, {prefix}"])
    if is_new and route.mode == Route.Mode.OBSERVE:
        console.note("It only observes. Enforce it with: apiguard route set PREFIX --mode enforce")


def _values(options: Options) -> dict[str, Any]:
    values: dict[str, Any] = {name: options[name] for name in PLAIN if options[name] is not None}
    for name in LISTS:
        if options[name] is not None:
            values[name] = [part for text in options[name].split(",") if (part := text.strip())]
    for name, (model, field) in REFERENCES.items():
        if options[name] is not None:
            values[name] = named(model, field, options[name]) if options[name] else None
    return values


def _shown(route: Route) -> dict[str, Any]:
    shown = {name: getattr(route, name) for name in ("path_prefix", *PLAIN, *LISTS)}
    for name, (_model, field) in REFERENCES.items():
        row = getattr(route, name)
        shown[name] = None if row is None else getattr(row, field)
    return shown


COMMANDS: Sequence[SubCommand] = (
    SubCommand("set", "Create a route, or change one.", _set, _set_arguments),
)
