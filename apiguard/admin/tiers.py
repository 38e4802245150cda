"""Tiers and their limits; the form takes a limit as text, such as "100 per minute"."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from ..errors import RateError
from ..models import Limit, Tier
from ..rules.rates import Rate, parse_rate
from .base import PolicyAdmin, PolicyInline
from .display import format_limit, format_rate, lines
from .enforcing import EnforceMixin, Trial, trial_of_limit
from .forms import PolicyForm
from .shadow_counts import ShadowTotal, shadow_details, shadow_totals

# While the counter is away: the choice with the excess it allows, and its effect on requests.
STORE_FAILURE_LABELS = {
    Limit.OnStoreFailure.LOCAL: _("local: amount per process"),
    Limit.OnStoreFailure.OPEN: _("open: no bound"),
    Limit.OnStoreFailure.CLOSED: _("closed: 503, no excess"),
}
STORE_FAILURE_EFFECTS = {
    Limit.OnStoreFailure.LOCAL: _(
        "Requests are counted in the memory of each process, so that N processes admit up to "
        "N times the amount."
    ),
    Limit.OnStoreFailure.OPEN: _(
        "Requests pass, and this limit does not count them: any number may be admitted in excess."
    ),
    Limit.OnStoreFailure.CLOSED: _(
        "Requests are answered 503, whatever the other limits decide: none is admitted in excess. "
        "In mode shadow the limit refuses nothing, and does not count until the counter is back."
    ),
}


PER_LABELS = {
    Limit.Per.CALLER: _("caller"),
    Limit.Per.CALLER_ROUTE: _("caller and route"),
}


class LimitForm(PolicyForm):
    """The form of a limit, with its rate in one text field instead of four columns."""

    rate = forms.CharField(
        label=_("rate"),
        max_length=100,
        widget=forms.TextInput(attrs={"size": 24}),
        help_text=_(
            "Such as 100 per minute, 5 per 90 seconds, 50000 per calendar month, "
            "10000 tokens per minute, 2 at once."
        ),
    )
    # Where the errors of columns that the form does not have are shown.
    shown_as: ClassVar[dict[str, str]] = {
        "amount": "rate",
        "period": "rate",
        "calendar": "rate",
        "kind": "rate",
        "unit": "rate",
    }

    class Meta:
        model = Limit
        fields = ("name", "route", "per", "mode", "on_store_failure")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "on_store_failure" in self.fields:
            field: Any = self.fields["on_store_failure"]
            field.choices = list(STORE_FAILURE_LABELS.items())
        if "per" in self.fields:
            per: Any = self.fields["per"]
            per.choices = list(PER_LABELS.items())
            # A script that posts the form without it means the usual one.
            per.required = False
        if self.instance.pk is not None:
            self.initial.setdefault("rate", format_rate(self.instance))

    def clean_rate(self) -> Rate | None:
        """Return the rate; ``None`` if it was not edited, valid or not."""
        text = self.cleaned_data["rate"]
        if self.instance.pk is not None and "rate" not in self.changed_data:
            return None
        try:
            return parse_rate(text)
        except RateError as error:
            suggestion = f" Such as: {error.suggestion}" if error.suggestion else ""
            raise ValidationError(f"{text}: {error}{suggestion}", code=error.code) from error

    def clean(self) -> dict[str, Any] | None:
        """Give the row its rate before Django validates the row."""
        cleaned = super().clean()
        # A form whose rate cannot be parsed is never saved, but its row is validated.
        rate = Rate(1, 60) if "rate" in self.errors else self.cleaned_data.get("rate")
        if rate is not None:
            set_rate(self.instance, rate)
        return cleaned


def set_rate(limit: Limit, rate: Rate) -> None:
    """Write ``rate`` into the columns of ``limit``."""
    if rate.at_once:
        limit.kind = Limit.Kind.CONCURRENT
    else:
        limit.kind = Limit.Kind.WINDOW if rate.period is not None else Limit.Kind.QUOTA
    limit.amount, limit.period, limit.calendar = rate.amount, rate.period, rate.calendar
    limit.unit = rate.unit


class LimitInline(PolicyInline):
    model = Limit
    form = LimitForm
    template = "admin/apiguard/limits.html"
    consequences = STORE_FAILURE_EFFECTS
    fields = ("name", "rate", "route", "per", "mode", "on_store_failure")


def shadow_limits(tier: Tier) -> list[Limit]:
    """Return the limits of ``tier`` that only count."""
    return [limit for limit in tier.limits.all() if limit.mode == Limit.Mode.SHADOW]


class TierAdmin(EnforceMixin, PolicyAdmin):
    """The screen of tiers: how many requests a client may send."""

    about = _("A request is admitted only if all limits of its tier admit it.")
    when_empty = _("There are no tiers, so nothing is counted. The baseline brings three.")
    list_display = (
        "name",
        "slug",
        "limit_list",
        "would_refuse",
        "client_count",
        "used_by",
        "problems_marker",
    )
    search_fields = ("name", "slug")
    fields = ("name", "slug", "shadow_totals_list")
    readonly_fields = ("shadow_totals_list",)
    prepopulated_fields = {"slug": ("name",)}
    inlines = (LimitInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        rows = rows.annotate(clients_total=Count("clients", distinct=True))
        return rows.prefetch_related("limits__route", "anonymous_routes", "user_routes")

    enforce_path = "<path:object_id>/limits/<int:pk>"

    def enforced_row(self, parent: Any, pk: int) -> Limit | None:
        return next((limit for limit in shadow_limits(parent) if limit.pk == pk), None)

    def may_enforce(self, request: HttpRequest, parent: Any) -> bool:
        return bool(request.user.has_perm("apiguard.change_limit"))

    def trial(self, request: HttpRequest, row: Any) -> Trial:
        return trial_of_limit(row)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_fields(request, obj)
        if obj is not None and shadow_limits(obj):
            return fields
        return [name for name in fields if name != "shadow_totals_list"]

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        changelist = super().get_changelist_instance(request)
        limits = [limit for tier in changelist.result_list for limit in shadow_limits(tier)]
        totals = shadow_totals(limit.pk for limit in limits)
        for tier in changelist.result_list:
            tier.apiguard_shadow_totals = totals
        return changelist

    @admin.display(description=_("limits"))
    def limit_list(self, tier: Tier) -> SafeString | str:
        return lines(f"{limit.name}: {format_limit(limit)}" for limit in tier.limits.all())

    @admin.display(description=_("would have refused (24 h)"))
    def would_refuse(self, tier: Any) -> SafeString | str:
        totals = getattr(tier, "apiguard_shadow_totals", {})
        counted = [(limit.name, totals.get(limit.pk, 0)) for limit in shadow_limits(tier)]
        return lines(f"{name}: {count:,}" for name, count in counted)

    @admin.display(description=_("would have refused (24 h)"))
    def shadow_totals_list(self, tier: Tier) -> SafeString | str:
        """Return the requests over each shadow limit, by principal."""
        limits = shadow_limits(tier)
        found = shadow_details(limit.pk for limit in limits)
        nothing = ShadowTotal(0, ())
        name = "admin:apiguard_tier_enforce"
        links = [
            (
                limit.name,
                found.get(limit.pk, nothing).text,
                reverse(name, args=[tier.pk, limit.pk], current_app=self.admin_site.name),
                _("Enforce"),
            )
            for limit in limits
        ]
        line = '<span class="apiguard-line">{}: {}</span> <a href="{}">{}</a>'
        return format_html_join("", line, links)

    @admin.display(description=_("clients"), ordering="clients_total")
    def client_count(self, tier: Any) -> SafeString:
        url = reverse("admin:apiguard_client_changelist", current_app=self.admin_site.name)
        return format_html(
            '<a href="{}?tier__id__exact={}">{}</a>', url, tier.pk, f"{tier.clients_total:,}"
        )

    @admin.display(description=_("used by routes"))
    def used_by(self, tier: Tier) -> SafeString | str:
        anonymous = [f"{route.name} (anonymous)" for route in tier.anonymous_routes.all()]
        return lines([*anonymous, *(f"{route.name} (users)" for route in tier.user_routes.all())])


SCREENS = {Tier: TierAdmin}
