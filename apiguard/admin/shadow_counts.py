"""What shadow limits would have refused in the last 24 hours, by principal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from ..models import Client, ShadowCount
from ..models.hourly_counts import ShadowCountQuerySet
from ..models.state import write_alias
from .display import first_hour_of_day, format_principal

PRINCIPALS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class ShadowTotal:
    """The requests over one shadow limit in 24 hours, with the top principals."""

    count: int
    most: tuple[tuple[str, int], ...]

    @property
    def text(self) -> str:
        """Such as "1,234 (Acme: 1,200; address 192.0.2.1: 34)"."""
        if not self.count:
            return _("nothing")
        return f"{self.count:,} ({'; '.join(f'{name}: {count:,}' for name, count in self.most)})"


def shadow_totals(limit_pks: Iterable[Any]) -> dict[Any, int]:
    """Return the number of requests that each of these limits would have refused; one query."""
    rows = _counts_of_a_day().filter(limit_pk__in=list(limit_pks))
    return dict(rows.values_list("limit_pk").annotate(Sum("count")))


def shadow_details(limit_pks: Iterable[Any]) -> dict[Any, ShadowTotal]:
    """Return the totals of these limits with their top principals.

    One query for all, one for each limit that has a number, one for names.
    """
    totals = shadow_totals(limit_pks)
    most = {
        pk: list(
            _counts_of_a_day()
            .filter(limit_pk=pk)
            .values_list("principal")
            .annotate(total=Sum("count"))
            .order_by("-total", "principal")[:PRINCIPALS_SHOWN]
        )
        for pk in totals
    }
    names = _client_names(principal for entries in most.values() for principal, _total in entries)
    return {
        pk: ShadowTotal(count, tuple((format_principal(name, names), n) for name, n in most[pk]))
        for pk, count in totals.items()
    }


def _counts_of_a_day() -> ShadowCountQuerySet:
    rows = ShadowCount.objects.using(write_alias()).order_by()
    return rows.since(first_hour_of_day(timezone.now()))


def _client_names(principals: Iterable[str]) -> Mapping[str, str]:
    pks = {each.removeprefix("client:") for each in principals if each.startswith("client:")}
    known = Client._base_manager.using(write_alias())
    found = known.filter(pk__in=[pk for pk in pks if pk.isascii() and pk.isdigit()])
    return {str(pk): name for pk, name in found.values_list("pk", "name")}
