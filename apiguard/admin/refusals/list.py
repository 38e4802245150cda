"""The list of refused requests, one by one or grouped; read-only."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Max, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from ...models import HourlyCount, Refusal
from ...models.state import write_alias
from ...telemetry.formatting import format_moment
from ...telemetry.refusal_search import DAY, kept_refusals
from ..display import DASH, badge
from ..screens import RecordAdmin
from ..time_limit import in_time
from .detail import detail_view
from .filters import FILTERS, outcome_text

MOST_GROUPS = 200


class RefusalAdmin(RecordAdmin):
    """Refused requests, the newest first."""

    about = _(
        "Requests that were refused, that an observing route would have refused, or that the view "
        "answered with 401, 403 or 429. The search takes request ids, paths and addresses."
    )
    when_empty = _("No refused request is kept. Rows are written about a second later.")
    change_list_template = "admin/apiguard/refusal/change_list.html"
    list_display = ("when", "result", "request_line", "why")
    list_display_links = ("when",)
    list_filter = FILTERS
    search_fields = ("request_id", "path", "address")
    show_full_result_count = False
    # Counting each choice of each filter would read the whole table several times.
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    ordering = ("-at", "-id")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return kept_refusals().order_by("-at", "-id")

    # -- pages ----------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        grouped = self.admin_site.admin_view(self.grouped_view)
        return [path("grouped/", grouped, name="apiguard_refusal_grouped"), *super().get_urls()]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        url = reverse("admin:apiguard_refusal_grouped", current_app=self.admin_site.name)
        context = {
            "title": _("Refused requests"),
            "grouped_url": _with_query(url, request),
            **_unkept(),
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if object_id is None or not self.has_view_permission(request):
            raise PermissionDenied
        refusal = self.get_object(request, object_id)
        if refusal is None:
            messages.warning(request, _("This refused request is not kept any more."))
            name = "admin:apiguard_refusal_changelist"
            return HttpResponseRedirect(reverse(name, current_app=self.admin_site.name))
        return detail_view(request, self.admin_site, refusal)

    def grouped_view(self, request: HttpRequest) -> HttpResponse:
        """Show the same requests as the list with this query, by reason, route and client."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return in_time(request, self.admin_site, partial(self._grouped_page, request))

    def _grouped_page(self, request: HttpRequest) -> HttpResponse:
        try:
            shown = self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            if not request.GET:
                raise
            text = _("The address had a filter that does not exist, so all requests are shown.")
            messages.warning(request, text)
            return HttpResponseRedirect(request.path)
        groups = (
            shown.get_queryset(request)
            .order_by()
            .values("outcome", "route_name", "client_slug", "enforced")
            .annotate(total=Count("pk"), last=Max("at"))
            .order_by("-total", "-last")[:MOST_GROUPS]
        )
        url = reverse("admin:apiguard_refusal_changelist", current_app=self.admin_site.name)
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": _("Refused requests by reason"),
            "list_url": _with_query(url, request),
            "filters": [
                (spec.title, chosen["display"])
                for spec in shown.filter_specs
                if isinstance(spec, admin.SimpleListFilter) and spec.value()
                for chosen in spec.choices(shown)
                if chosen["selected"]
            ],
            "groups": [_group(group, partial(_narrowed, url, request)) for group in groups],
            **_unkept(),
        }
        return TemplateResponse(request, "admin/apiguard/refusal/grouped.html", context)

    # -- columns --------------------------------------------------------------

    @admin.display(description=_("when"), ordering="at")
    def when(self, refusal: Refusal) -> SafeString | str:
        day, _space, time = format_moment(refusal.at).partition(" ")
        return format_html('{}<span class="apiguard-line apiguard-quiet">{}</span>', time, day)

    @admin.display(description=_("result"), ordering="status")
    def result(self, refusal: Refusal) -> SafeString:
        return result_badge(refusal.enforced, str(refusal.status))

    @admin.display(description=_("request"), ordering="path")
    def request_line(self, refusal: Refusal) -> SafeString:
        line = f"{refusal.method} {shortened(refusal.path, 60)}"
        return format_html(
            '<span class="apiguard-path">{}</span><span class="apiguard-line apiguard-quiet '
            'apiguard-path">{}</span>',
            line,
            refusal.request_id,
        )

    @admin.display(description=_("why, and who called"), ordering="outcome")
    def why(self, refusal: Refusal) -> SafeString:
        return format_html(
            '<span class="apiguard-path">{}</span><span class="apiguard-line apiguard-quiet '
            'apiguard-path">{}</span>',
            shortened(refusal.reason, 120),
            refusal.client_slug or refusal.principal or DASH,
        )


def shortened(text: str, most: int) -> str:
    """Return ``text``, cut at ``most`` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def result_badge(enforced: bool, status: str) -> SafeString:
    """Return the status in a box that says whether it was sent."""
    return badge(status, "bad") if enforced else badge(_("%s observed") % status, "warn")


def _group(group: dict[str, Any], narrowed: Any) -> dict[str, Any]:
    chosen = {
        "reason": group["outcome"],
        "route": group["route_name"],
        "client": group["client_slug"],
        "result": "refused" if group["enforced"] else "observed",
    }
    return {
        "reason": outcome_text(group["outcome"]),
        "route": group["route_name"],
        "client": group["client_slug"],
        "result": badge(str(_("refused")), "bad")
        if group["enforced"]
        else badge(str(_("observed")), "warn"),
        "count": f"{group['total']:,}",
        "last": format_moment(group["last"]),
        "url": narrowed({name: value for name, value in chosen.items() if value}),
    }


def _narrowed(url: str, request: HttpRequest, chosen: dict[str, str]) -> str:
    return f"{url}?{urlencode({**request.GET.dict(), **chosen})}"


def _with_query(url: str, request: HttpRequest) -> str:
    query = request.GET.urlencode()
    return f"{url}?{query}" if query else url


def _unkept() -> dict[str, Any]:
    counts = HourlyCount.objects.using(write_alias())
    unkept = counts.unkept_since(timezone.now() - DAY)
    return {"unkept": unkept, "unkept_text": f"{unkept:,}"}


SCREENS = {Refusal: RefusalAdmin}
