"""Rotating a key: a page that asks why, and the successor's text, shown once."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import router, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from ..models import ApiKey
from ..models.keys import rotated_meanwhile
from . import tickets
from .base import acting_for
from .key_forms import RotateForm
from .key_pages import KeyPages, public_part
from .owners import NOT_YOURS_TO_MAKE, may_make_keys


class RotatingAdmin(KeyPages):
    """The part of the key screen that makes successors."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.rotate_view)
        return [
            path("<path:object_id>/rotate/", view, name="apiguard_apikey_rotate"),
            *super().get_urls(),
        ]

    def has_rotate_permission(self, request: HttpRequest) -> bool:
        """Whether who is signed in may make successors of keys."""
        return bool(request.user.has_perm("apiguard.rotate_apikey"))

    def rotate_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """GET asks, POST rotates and shows the new key."""
        if not self.has_rotate_permission(request):
            raise PermissionDenied
        key = self.get_object(request, unquote(object_id))
        if key is None:
            raise Http404
        sent = request.method == "POST"
        form = _form_of(request.user)(request.POST if sent else None, initial={"seen": _seen(key)})
        if sent and form.is_valid():
            try:
                return self._rotate_or_refuse(request, form, key)
            except tickets.TicketUsed as used:
                return self.made_before(request, used.key_pk)
        return self._ask(request, form, key)

    def _rotate_or_refuse(
        self, request: HttpRequest, form: RotateForm, key: ApiKey
    ) -> HttpResponse:
        try:
            return self.settled(request, partial(self._rotate, request, form, key.pk))
        except ValidationError as refused:
            # The second of two clicks comes too late because of the first.
            tickets.refuse_used(request, form.cleaned_data["ticket"])
            self._show_anew(form, key, refused)
        return self._ask(request, form, key)

    @sensitive_variables("text")
    def _rotate(self, request: HttpRequest, form: RotateForm, pk: Any) -> HttpResponse:
        given = form.cleaned_data
        grace, reason = timedelta(seconds=form.grace_seconds), given["reason"]
        with (
            acting_for(request, reason=reason),
            transaction.atomic(using=router.db_for_write(ApiKey)),
        ):
            old = ApiKey.objects.select_related("client").get(pk=pk)
            tickets.refuse_used(request, given["ticket"])
            if not may_make_keys(request.user, old.client):
                raise ValidationError(NOT_YOURS_TO_MAKE)
            if _seen(old) != given["seen"]:
                raise rotated_meanwhile()
            by = request.user if request.user.is_authenticated else None
            key, text = old.rotate(grace, by, reason)
            tickets.use(request, given["ticket"], key.pk)
            self.log_change(request, old, [{"changed": {"fields": ["rotated_at"]}}])
            self.log_addition(request, key, [{"added": {}}])
        return self.shown_once(request, key, text, old)

    @staticmethod
    def _show_anew(form: RotateForm, key: ApiKey, refused: ValidationError) -> None:
        """Say why nothing was done; sent once more, the form means the key as it is now."""
        key.refresh_from_db()
        form.data = {**form.data.dict(), "seen": _seen(key)}  # type: ignore[attr-defined]
        for message in refused.messages:
            form.add_error(None, message)

    def _ask(self, request: HttpRequest, form: RotateForm, key: ApiKey) -> HttpResponse:
        state = key.state()
        successors = [(other, public_part(other)) for other in key.replaced_by.order_by("-pk")]
        return self.page(
            request,
            "rotate",
            _("Rotate this key"),
            form=form,
            key=key,
            masked=public_part(key),
            ended=state if state.is_final else "",
            successors=successors,
            not_yours="" if may_make_keys(request.user, key.client) else NOT_YOURS_TO_MAKE,
        )


def _form_of(user: Any) -> type[RotateForm]:
    return type("RotateForm", (RotateForm,), {"user": user})


def _seen(key: ApiKey) -> str:
    return key.rotated_at.isoformat() if key.rotated_at is not None else ""
