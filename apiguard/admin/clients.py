"""The screen of clients, with their tier, owner and limit overrides."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from ..models import Client, Limit, LimitOverride
from .base import PolicyAdmin, PolicyInline
from .display import DASH, format_rate
from .edit_merge import with_shown
from .forms import PolicyForm
from .owner_permissions import ClientForm

if TYPE_CHECKING:
    LimitChoiceBase = forms.ModelChoiceField[Limit]
else:
    LimitChoiceBase = forms.ModelChoiceField


class LimitChoice(LimitChoiceBase):
    """Labels a limit with its tier and rate: a name such as per-minute occurs in every tier."""

    def label_from_instance(self, obj: Limit) -> str:
        return f"{obj.tier.name}: {obj.name} ({format_rate(obj)})"


class OverrideForm(PolicyForm):
    """The form of a limit override."""

    def clean_until(self) -> datetime | None:
        """Refuse an override that has ended before it is saved."""
        until: datetime | None = self.cleaned_data["until"]
        if until is not None and "until" in self.changed_data and until <= timezone.now():
            raise forms.ValidationError(_("This time has passed, so the override has no effect."))
        return until


class OverrideInline(PolicyInline):
    """Amounts of this client that replace those of its tier's limits."""

    model = LimitOverride
    form = OverrideForm
    fields = ("limit", "amount", "until", "reason")

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "limit":
            kwargs |= {"form_class": LimitChoice, "queryset": Limit.objects.select_related("tier")}
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        formset = super().get_formset(request, obj, **kwargs)
        field = formset.form.base_fields.get("limit")
        if obj is not None and field is not None:
            # An override outlives a change of tier; its row must stay a choice.
            mine = Q(tier=obj.tier_id) | Q(pk__in=obj.overrides.values("limit"))
            field.queryset = field.queryset.filter(mine)
        return formset


class ClientAdmin(PolicyAdmin):
    """The screen of clients."""

    form = ClientForm
    can_break_policy = False
    about = _("Limits are counted per client, whatever key is used. Untick “enabled” to stop one.")
    when_empty = _("There are no clients. Add one, then create its first key.")
    list_display = ("name", "slug", "tier", "key_count", "enabled", "owner")
    list_filter = ("enabled", "tier")
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}
    # Not autocomplete: that wants the user model on the same admin site.
    raw_id_fields = ("owner",)
    readonly_fields = ("keys_link",)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        on_behalf = ["owner", "acts_as_owner"]
        if obj is not None and "acts_as_owner" in request.POST:
            on_behalf.append("confirm_keys")
        fieldsets = (
            (None, {"fields": ("name", "slug", "tier", "enabled", "keys_link")}),
            (_("Where from"), {"fields": ("allowed_networks",)}),
            (_("On behalf of a user"), {"fields": on_behalf}),
            (_("For the project's own use"), {"classes": ("collapse",), "fields": ("metadata",)}),
        )
        merges = obj is not None and self.has_change_permission(request, obj)
        return with_shown(fieldsets) if merges else fieldsets

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        rows = rows.annotate(keys_total=Count("keys", filter=Q(keys__revoked_at=None)))
        return rows.select_related("tier", "owner")

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        form.user = request.user
        return form

    def get_inlines(self, request: HttpRequest, obj: Any) -> list[Any]:
        # The limits to choose from are known once the client has a tier.
        return [] if obj is None else [OverrideInline]

    # -- and its first key -------------------------------------------------------

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        popup = "_popup" in request.GET or "_popup" in request.POST
        context["may_make_key"] = self._may_create_keys(request) and not popup
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

    @admin.display(description=_("keys"))
    def keys_link(self, client: Any) -> SafeString | str:
        if client.pk is None:
            return DASH
        return format_html(
            '{} {} · <a href="{}?client={}">{}</a>',
            self.key_count(client),
            _("not revoked"),
            self._keys("add"),
            client.pk,
            _("create a key"),
        )

    def _keys(self, view: str) -> str:
        return reverse(f"admin:apiguard_apikey_{view}", current_app=self.admin_site.name)


SCREENS = {Client: ClientAdmin}
