"""Which rows name a caller, so that ``apiguard forget`` can erase it from all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.db import models, router

from ..rules.networks import counted_as, parse_address
from .hourly_counts import ShadowCount
from .refusals import Refusal
from .usage import Usage, usage_rows

_PRINCIPAL = re.compile(r"(client:[0-9]{1,19}|user:.+|jwt:[0-9]{1,19}:.+|ip:\S+)\Z", re.DOTALL)
# Values of one statement; databases bound how many it may hold.
MOST_VALUES = 500


class BadPrincipal(ValueError):
    """This names no caller; the message says what would."""


def rows_of(principal: str, alias: str) -> Iterator[models.QuerySet[Any]]:
    """Yield the rows of each table that name this caller; a new table is added here.

    Args:
        alias: the database of policy, which counts are in too.
    """
    yield ShadowCount.objects.using(alias).filter(principal=principal[: ShadowCount.MAX_PRINCIPAL])
    refusals = Refusal.objects.using(router.db_for_write(Refusal))
    kind, _, rest = principal.partition(":")
    yield refusals.filter(principal=principal[:300])
    if kind == "client":
        yield refusals.filter(client_pk=int(rest))
        yield usage_rows(router.db_for_write(Usage)).filter(client_pk=int(rest))
    elif kind == "ip":
        # Identified callers too came from an address.
        known = refusals.order_by().values_list("address", flat=True).distinct()
        theirs = [text for text in known if _is_counted_as(text, principal)]
        for start in range(0, len(theirs), MOST_VALUES):
            yield refusals.filter(address__in=theirs[start : start + MOST_VALUES])


def _is_counted_as(text: str, principal: str) -> bool:
    address = parse_address(text)
    return address is not None and counted_as(address) == principal


def erase(principal: str, alias: str) -> dict[str, int]:
    """Delete all rows that name this caller; return how many of each kind.

    Raises:
        BadPrincipal: the text is no principal.
    """
    principal = _canonical(principal)
    erased: dict[str, int] = {}
    for rows in rows_of(principal, alias):
        name = str(rows.model._meta.verbose_name_plural)
        erased[name] = erased.get(name, 0) + rows.delete()[0]
    return erased


def _canonical(principal: str) -> str:
    if not _PRINCIPAL.match(principal):
        raise BadPrincipal(
            f"{principal!r} names no caller. Write it as the rows do: client:7, user:7, "
            "jwt:1:alice or ip:192.0.2.1."
        )
    address = parse_address(principal.removeprefix("ip:")) if principal.startswith("ip:") else None
    return principal if address is None else counted_as(address)
