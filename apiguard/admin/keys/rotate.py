"""Rotation of a key: a confirmation page, and the text of the successor, shown once."""

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

from ...models import ApiKey
from ...models.keys import already_rotated
from ..owner_permissions import MAY_NOT_CREATE_KEYS, may_create_keys
from ..screens import record_actor
from . import form_tokens
from .forms import RotateForm
from .pages import KeyPageMixin, public_part


class RotateMixin(KeyPageMixin):
    """Mixin of the key screen that rotates keys."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.rotate_view)
        return [
            path("<path:object_id>/rotate/", view, name="apiguard_apikey_rotate"),
            *super().get_urls(),
        ]

    def has_rotate_permission(self, request: HttpRequest) -> bool:
        """Return whether the signed-in user may rotate keys."""
        return bool(request.user.has_perm("apiguard.rotate_apikey"))

    def rotate_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the confirmation page on GET; rotate and show the new key on POST."""
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
            except form_tokens.FormTokenUsed as used:
                return self.already_created_page(request, used.key_pk)
        return self._confirmation_page(request, form, key)

    def _rotate_or_refuse(
        self, request: HttpRequest, form: RotateForm, key: ApiKey
    ) -> HttpResponse:
        try:
            return self.retry_conflicts(request, partial(self._rotate, request, form, key.pk))
        except ValidationError as refused:
            # The second of two clicks fails because of the first.
            form_tokens.check_unused(request, form.cleaned_data["form_token"])
            self._show_refusal(form, key, refused)
        return self._confirmation_page(request, form, key)

    @sensitive_variables("text")
    def _rotate(self, request: HttpRequest, form: RotateForm, pk: Any) -> HttpResponse:
        given = form.cleaned_data
        grace, reason = timedelta(seconds=form.grace_seconds), given["reason"]
        with (
            record_actor(request, reason=reason),
            transaction.atomic(using=router.db_for_write(ApiKey)),
        ):
            old = ApiKey.objects.select_related("client").get(pk=pk)
            form_tokens.check_unused(request, given["form_token"])
            if not may_create_keys(request.user, old.client):
                raise ValidationError(MAY_NOT_CREATE_KEYS)
            if _seen(old) != given["seen"]:
                raise already_rotated()
            by = request.user if request.user.is_authenticated else None
            key, text = old.rotate(grace, by, reason)
            form_tokens.consume(request, given["form_token"], key.pk)
            self.log_change(request, old, [{"changed": {"fields": ["rotated_at"]}}])
            self.log_addition(request, key, [{"added": {}}])
        return self.secret_page(request, key, text, old)

    @staticmethod
    def _show_refusal(form: RotateForm, key: ApiKey, refused: ValidationError) -> None:
        """Show why nothing was done, and make the form refer to the key as it is now."""
        key.refresh_from_db()
        form.data = {**form.data.dict(), "seen": _seen(key)}  # type: ignore[attr-defined]
        for message in refused.messages:
            form.add_error(None, message)

    def _confirmation_page(
        self, request: HttpRequest, form: RotateForm, key: ApiKey
    ) -> HttpResponse:
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
            not_yours="" if may_create_keys(request.user, key.client) else MAY_NOT_CREATE_KEYS,
        )


def _form_of(user: Any) -> type[RotateForm]:
    return type("RotateForm", (RotateForm,), {"user": user})


def _seen(key: ApiKey) -> str:
    return key.rotated_at.isoformat() if key.rotated_at is not None else ""
