"""The page "Usage": how many requests came, over time, from whom and to which route.

Without a choice it shows the clients and routes with the highest numbers; of one client
its routes and keys; of one route who still calls it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django import forms
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import conf
from ..models import ApiKey, Client, Route
from ..models.key_conditions import unused
from ..models.state import write_alias
from ..models.usage import NOBODY, OTHERS
from ..telemetry import usage_report
from ..telemetry.formatting import local_time
from ..telemetry.usage_report import Names, Period, Selection, Share, Totals, Units
from .display import DASH
from .keys.pages import public_part
from .keys.state import UNUSED_DAYS
from .row_links import may, row_url
from .site_pages import add_page
from .time_limit import in_time
from .usage_chart import Chart, draw

DAYS = ((1, gettext_lazy("24 hours")), (7, gettext_lazy("7 days")), (30, gettext_lazy("30 days")))
MOST_SHOWN = 20
UNITS_SHOWN = 100
DEFAULT_DAYS = "7"


@dataclass(frozen=True, slots=True)
class Cell:
    """A name with the page that it leads to, if any."""

    text: str
    url: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: who or what, the numbers, and when the last request came."""

    cells: tuple[Cell, ...]
    requests: str
    refused: str
    would_refuse: str
    last: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a heading, the highest number first."""

    slug: str
    title: str
    heads: tuple[str, ...]
    rows: list[Row]


class UsageForm(forms.Form):
    """Which usage to show; sent with GET, so that the page can be sent to a colleague."""

    client = forms.CharField(
        label=gettext_lazy("Client"), required=False, help_text=gettext_lazy("slug")
    )
    route = forms.CharField(
        label=gettext_lazy("Route"), required=False, help_text=gettext_lazy("name")
    )
    days = forms.TypedChoiceField(
        label=gettext_lazy("Time"), coerce=int, empty_value=DEFAULT_DAYS, required=False
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        keep = conf.current().usage_keep_days
        longest = [(keep, _("%d days") % keep)] if keep > DAYS[-1][0] else []
        field: Any = self.fields["days"]
        field.choices = [*DAYS, *longest]

    def clean_client(self) -> Client | None:
        """Find the client; an error where there is none of this slug."""
        found: Client | None = self._find(Client, "slug", self.cleaned_data["client"])
        return found

    def clean_route(self) -> Route | None:
        """Find the route; an error where there is none of this name."""
        found: Route | None = self._find(Route, "name", self.cleaned_data["route"])
        return found

    def _find(self, model: type[Any], field: str, value: str) -> Any:
        if not value:
            return None
        row = model.objects.using(write_alias()).filter(**{field: value}).first()
        if row is None:
            kind = model._meta.verbose_name
            raise ValidationError(
                _("There is no %(kind)s “%(value)s”."),
                "unknown",
                {
                    "kind": kind,
                    "value": value,
                },
            )
        return row


def add_to(site: AdminSite) -> None:
    """Add the page "apiguard/usage/" to ``site``, unless ``site`` has it."""
    add_page(site, "usage", usage_view)


def usage_view(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Show the numbers that the query selects; a bounded number of queries."""
    if not request.user.has_perm("apiguard.view_usage"):
        raise PermissionDenied
    return in_time(request, site, partial(_usage_page, request, site))


def _usage_page(request: HttpRequest, site: AdminSite) -> HttpResponse:
    request.current_app = site.name
    form = UsageForm({"days": DEFAULT_DAYS, **request.GET.dict()})
    context = {
        **site.each_context(request),
        "title": _("Usage"),
        "form": form,
        "is_off": not conf.current().usage_keep_days,
        "zone": timezone.get_current_timezone_name(),
    }
    if form.is_valid():
        context |= UsagePage(request, site, form.cleaned_data).context()
    return TemplateResponse(request, "admin/apiguard/usage.html", context)


class UsagePage:
    """The numbers of one selection, with links."""

    def __init__(self, request: HttpRequest, site: AdminSite, chosen: dict[str, Any]) -> None:
        self.request, self.site = request, site
        self.client: Client | None = chosen["client"]
        self.route: Route | None = chosen["route"]
        self.days = int(chosen["days"])
        self.selection = Selection.of_days(
            self.days,
            client_pk=None if self.client is None else self.client.pk,
            route_pk=None if self.route is None else self.route.pk,
        )

    def context(self) -> dict[str, Any]:
        """Return what the template shows."""
        periods, lost = usage_report.periods(self.selection), self.selection.lost()
        overruns = self.selection.overruns()
        # Every row belongs to a period, so that the table is not read once more.
        totals = sum((one.totals for one in periods), start=Totals())
        units = usage_report.settled_units(self.selection, most=UNITS_SHOWN)
        return {
            "units": self._unit_rows(units),
            "client": self.client,
            "client_url": self._row_url("client", self.client),
            "route": self.route,
            "route_url": self._row_url("route", self.route),
            "totals": _number_texts(totals),
            "lost": f"{lost:,}" if lost else "",
            "overruns": f"{overruns:,}" if overruns else "",
            "chart": self._chart(periods),
            "tables": self._tables(),
            "unused_keys": self._unused_keys(),
        }

    def _unit_rows(self, units: Sequence[Units]) -> list[dict[str, Any]]:
        names = usage_report.names_of(
            {one.route_pk for one in units}, {one.client_pk for one in units}, ()
        )
        return [
            {
                "day": date_format(one.day, "D j M"),
                "route": self._cell("route_pk", one.route_pk, names),
                "client": self._cell("client_pk", one.client_pk, names),
                "unit": one.unit,
                "amount": f"{one.amount:,}",
            }
            for one in units
        ]

    def _row_url(self, model: str, row: Client | Route | None) -> str:
        return "" if row is None else row_url(self.request, self.site, model, row.pk)

    def _chart(self, periods: Sequence[Period]) -> Chart:
        return draw(periods, "H:i" if self.days == 1 else "D j M")

    def _tables(self) -> list[Table]:
        by_client, by_route = ("client_pk",), ("route_pk",)
        callers, client, route = ("client_pk", "key_pk"), _("Client"), _("Route")
        wanted: list[tuple[str, str, tuple[str, ...], tuple[str, ...], str]]
        if self.route is not None:
            title = _("Who still calls this route")
            wanted = [("callers", title, (client, _("Key")), callers, "total")]
        elif self.client is not None:
            wanted = [
                ("routes", _("By route"), (route,), by_route, "total"),
                ("keys", _("By key"), (_("Key"),), ("key_pk",), "total"),
            ]
        else:
            wanted = [
                ("clients", _("Clients with the most requests"), (client,), by_client, "total"),
                ("refused", _("Clients with the most refusals"), (client,), by_client, "refused"),
                ("routes", _("Routes with the most requests"), (route,), by_route, "total"),
            ]
        reasons = (_("Reason"), route)
        title = _("Most frequent refusals")
        wanted.append(("reasons", title, reasons, ("outcome", "route_pk"), "refused"))
        found = [
            usage_report.shares(self.selection, columns, by=by, most=MOST_SHOWN)
            for _slug, _title, _heads, columns, by in wanted
        ]
        names = self._names([(one[3], shares) for one, shares in zip(wanted, found, strict=True)])
        return [
            Table(slug, title, heads, [self._row(columns, share, names) for share in shares])
            for (slug, title, heads, columns, _by), shares in zip(wanted, found, strict=True)
        ]

    def _names(self, found: Sequence[tuple[tuple[str, ...], list[Share]]]) -> Names:
        def pks(column: str) -> set[Any]:
            return {
                share.key[columns.index(column)]
                for columns, shares in found
                if column in columns
                for share in shares
            }

        return usage_report.names_of(pks("route_pk"), pks("client_pk"), pks("key_pk"))

    def _row(self, columns: Sequence[str], share: Share, names: Names) -> Row:
        values = zip(columns, share.key, strict=True)
        cells = tuple(self._cell(column, value, names) for column, value in values)
        return Row(cells=cells, last=_last(share), **_number_texts(share.totals))

    def _cell(self, column: str, value: Any, names: Names) -> Cell:
        if column == "outcome":
            return Cell(value.replace("_", " "))
        if value == NOBODY:
            return Cell(_("without a key") if column == "client_pk" else DASH)
        if value == OTHERS:
            return Cell(_("others, counted together"))
        if column == "route_pk":
            route = names.routes.get(value)
            text = _("a route that is gone") if route is None else route.name
            note = "" if route is None else route.path_prefix
            return Cell(text, "" if route is None else self._url(route=route.name), note)
        if column == "client_pk":
            client = names.clients.get(value)
            text = _("a client that is gone") if client is None else client.name
            return Cell(text, "" if client is None else self._url(client=client.slug))
        key = names.keys.get(value)
        if key is None:
            return Cell(_("a key that is gone"))
        return Cell(key.name, row_url(self.request, self.site, "apikey", key.pk), public_part(key))

    def _url(self, **chosen: str) -> str:
        """Return the URL of this page for another choice."""
        address = reverse("admin:apiguard_usage", current_app=self.site.name)
        return f"{address}?{urlencode(chosen | {'days': str(self.days)})}"

    def _unused_keys(self) -> list[Cell]:
        """Return how many live keys nobody has used for some days, of the client or of all."""
        if not may(self.request, "view", "apikey"):
            return []
        keys = ApiKey.objects.using(write_alias())
        query: dict[str, Any] = {}
        if self.client is not None:
            keys, query = keys.filter(client=self.client), {"client__id__exact": self.client.pk}
        changelist = reverse("admin:apiguard_apikey_changelist", current_app=self.site.name)
        return [
            Cell(
                _("for %(days)d days: %(count)s")
                % {"days": days, "count": f"{keys.filter(unused(timezone.now(), days)).count():,}"},
                f"{changelist}?{urlencode({**query, 'unused': days})}",
            )
            for days in UNUSED_DAYS
        ]


def _number_texts(totals: Totals) -> dict[str, str]:
    return {
        "requests": f"{totals.requests:,}",
        "refused": f"{totals.refused:,}",
        "would_refuse": f"{totals.would_refuse:,}",
    }


def _last(share: Share) -> str:
    """Return the hour or day of the last request."""
    return date_format(local_time(share.last), "j M Y, H:i")
