"""The screen of clients, with their tier, owner and limit overrides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.forms.models import ModelChoiceIterator
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from .. import conf
from ..counters.base import CounterUnavailable
from ..models import ApiKey, Client, Limit, Tier
from ..models.resets import recorded_reset
from ..policy.callers import read_caller_records
from ..policy.consequences import CallerRecords
from ..request import limit_use
from .base import PolicyAdmin
from .client_support import counted_keys, support_context
from .edit_merge import with_shown
from .edit_validation import confirm_callers
from .overrides import OverrideInline
from .owner_permissions import ClientForm
from .screens import record_actor
from .tier_choice import RatedTierChoice

if TYPE_CHECKING:
    IteratorBase = ModelChoiceIterator[Tier]
else:
    IteratorBase = ModelChoiceIterator

NOT_LIMITED = "none"


class TierIterator(IteratorBase):
    """The tiers, and before them the choice of none."""

    def __iter__(self) -> Iterator[Any]:
        yield ("", "---------")
        yield (NOT_LIMITED, _("Not limited"))
        yield from (self.choice(tier) for tier in self.queryset)


class TierChoice(RatedTierChoice):
    """A tier, or "not limited", which must be chosen: an empty box is an error."""

    iterator = TierIterator

    def clean(self, value: Any) -> Tier | None:
        """Return the tier; ``None`` for "not limited".

        Raises:
            ValidationError: nothing is chosen, or no tier of this number is there.
        """
        if value == NOT_LIMITED:
            return None
        if value in self.empty_values:
            raise forms.ValidationError(_("Choose a tier, or “Not limited”."), code="required")
        tier: Tier | None = super().clean(value)
        return tier


class ClientPageForm(ClientForm):
    """The form of a client with "not limited" as a choice of its own."""

    class Meta(ClientForm.Meta):
        help_texts = {
            **ClientForm.Meta.help_texts,
            "tier": _("Its limits are counted per client, whatever key is used."),
        }

    def get_initial_for_field(self, field: forms.Field, field_name: str) -> Any:
        value = super().get_initial_for_field(field, field_name)
        is_stored = self.instance.pk is not None
        return NOT_LIMITED if field_name == "tier" and value is None and is_stored else value


class ClientAdmin(PolicyAdmin):
    """The screen of clients."""

    form = ClientPageForm
    change_form_template = "admin/apiguard/client/change_form.html"
    inlines = (OverrideInline,)
    can_break_policy = False
    about = _("Limits are counted per client, whatever key is used. Untick “enabled” to stop one.")
    when_empty = _("There are no clients. Add one, then create its first key.")
    list_display = ("name", "slug", "tier", "key_count", "enabled", "owner")
    list_filter = ("enabled", "tier")
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}
    # Not autocomplete: that wants the user model on the same admin site.
    raw_id_fields = ("owner",)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        on_behalf = ["owner", "acts_as_owner"]
        if obj is not None and "acts_as_owner" in request.POST:
            on_behalf.append("confirm_keys")
        fieldsets = (
            (None, {"fields": ("name", "slug", "tier", "enabled")}),
            (_("Where from"), {"fields": ("allowed_networks",)}),
            (_("On behalf of a user"), {"fields": on_behalf}),
            (_("For the project's own use"), {"classes": ("collapse",), "fields": ("metadata",)}),
        )
        merges = obj is not None and self.has_change_permission(request, obj)
        return with_shown(fieldsets) if merges else fieldsets

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        # Counted for the rows of one page, and not for all before they are sorted.
        keys = ApiKey.objects.filter(client=OuterRef("pk"), revoked_at=None).order_by()
        total = keys.values("client").annotate(number=Count("pk")).values("number")
        rows = rows.annotate(keys_total=Coalesce(Subquery(total), 0))
        return rows.select_related("tier", "owner")

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        form.user = request.user
        return form

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "tier":
            tiers = Tier.objects.prefetch_related("limits__route")
            kwargs |= {"form_class": TierChoice, "queryset": tiers}
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    # -- what an edit does ----------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        before = read_caller_records([obj.pk]) if change else CallerRecords()
        request._apiguard_client = before  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def save_related(
        self, request: HttpRequest, form: Any, formsets: Sequence[Any], change: bool
    ) -> None:
        super().save_related(request, form, formsets, change)
        before = request._apiguard_client  # type: ignore[attr-defined]
        confirm_callers(request, before, read_caller_records([form.instance.pk]))

    # -- support ------------------------------------------------------------------

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.reset_view)
        return [
            path("<path:object_id>/reset/", view, name="apiguard_client_reset"),
            *super().get_urls(),
        ]

    def reset_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Count one limit of this client from zero, on POST, and record it."""
        if not request.user.has_perm("apiguard.reset_counters"):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        client = self.get_object(request, unquote(object_id))
        if client is None or client.tier is None:
            raise Http404
        chosen = request.POST.get("limit", "")
        limit = client.tier.limits.filter(pk=chosen if chosen.isdecimal() else 0).first()
        if limit is None:
            raise Http404
        self._reset(request, client, limit)
        name = "admin:apiguard_client_change"
        may_view = self.has_view_permission(request, client)
        if not may_view:
            return HttpResponseRedirect(reverse("admin:index", current_app=self.admin_site.name))
        return HttpResponseRedirect(
            reverse(name, args=[client.pk], current_app=self.admin_site.name)
        )

    def _reset(self, request: HttpRequest, client: Client, limit: Limit) -> None:
        named = {"limit": limit.name, "client": client.name}
        principal = limit_use.principal_of(client.pk)
        try:
            with record_actor(request), recorded_reset(client, [limit.name]):
                keys = counted_keys(client, limit)
                seconds = limit_use.reset_use(conf.current(), principal, keys)
                self.log_change(request, client, [{"changed": {"fields": [f"used {limit.name}"]}}])
        except CounterUnavailable as error:
            text = _("“%(limit)s” was not reset: %(why)s. Try again when Redis answers.")
            self.message_user(request, text % {**named, "why": error}, messages.ERROR)
        else:
            text = _("“%(limit)s” of “%(client)s” counts from zero.")
            if seconds:
                text = _(
                    "“%(limit)s” of “%(client)s” counts from zero in %(seconds)s s, when the "
                    "units that processes have reserved are used or returned."
                )
            named["seconds"] = str(seconds)
            self.message_user(request, text % named, messages.SUCCESS)

    # -- and its first key -------------------------------------------------------

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        popup = "_popup" in request.GET or "_popup" in request.POST
        context["may_make_key"] = self._may_create_keys(request) and not popup
        client = context.get("original")
        if client is not None and not popup:
            # What is typed into the form is not in force.
            stored = self.get_object(request, str(client.pk))
            context["support"] = support_context(request, self.admin_site, stored)
        return super().render_change_form(request, context, *args, **kwargs)

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Redirect to the form of a key after "Save and create a key"."""
        if "_make_key" in request.POST and self._may_create_keys(request):
            return self._to_a_new_key(request, obj)
        return super().response_add(request, obj, post_url_continue)

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        """Redirect to the form of a key after "Save and create a key"."""
        if "_make_key" in request.POST and self._may_create_keys(request):
            return self._to_a_new_key(request, obj)
        return super().response_change(request, obj)

    def _may_create_keys(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("apiguard.add_apikey"))

    def _to_a_new_key(self, request: HttpRequest, client: Any) -> HttpResponse:
        text = _("The client “%(name)s” was saved. Create its key now.") % {"name": client.name}
        self.message_user(request, text, messages.SUCCESS)
        return HttpResponseRedirect(f"{self._keys('add')}?client={client.pk}")

    def deletion_effects(self, rows: Sequence[Any]) -> list[str]:
        """Return the way to stop a client that cannot be deleted."""
        kept = [row for row in rows if row.keys.exists()]
        text = _("“%s” has keys, and keys are never deleted. To stop the client, untick “enabled”.")
        return [text % row for row in kept]

    # -- lists ------------------------------------------------------------------

    @admin.display(description=_("keys not revoked"), ordering="keys_total")
    def key_count(self, client: Any) -> SafeString:
        return format_html(
            '<a href="{}?client__id__exact={}">{}</a>',
            self._keys("changelist"),
            client.pk,
            f"{client.keys_total:,}",
        )

    def _keys(self, view: str) -> str:
        return reverse(f"admin:apiguard_apikey_{view}", current_app=self.admin_site.name)


SCREENS = {Client: ClientAdmin}
