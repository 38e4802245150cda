"""``HeaderPolicy`` and ``ResponseHeader``: what every response of a route carries."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from ..errors import PolicyError
from ..rules.headers import check_response_header
from .base import PolicyModel
from .fields import rule_problem


class HeaderPolicy(PolicyModel):
    """A named set of response headers."""

    name = models.CharField(_("name"), max_length=100, unique=True)

    class Meta:
        verbose_name = _("header policy")
        verbose_name_plural = _("header policies")
        ordering: ClassVar[list[str]] = ["name"]

    def __str__(self) -> str:
        return self.name


class ResponseHeader(PolicyModel):
    """One response header of a policy."""

    class Condition(models.TextChoices):
        ALWAYS = "always", _("always")
        HTTPS = "https", _("over https only")

    class Mode(models.TextChoices):
        DEFAULT = "default", _("default: unless the view sets it")
        FORCE = "force", _("force: replaces what the view sets")
        REMOVE = "remove", _("remove: never sent")

    policy = models.ForeignKey(
        HeaderPolicy, verbose_name=_("policy"), on_delete=models.CASCADE, related_name="headers"
    )
    name = models.CharField(
        _("name"),
        max_length=100,
        help_text=_(
            "Permitted: Referrer-Policy. Prohibited: Referrer Policy, Content-Length, "
            "Access-Control-Allow-Origin (the CORS policy sends that)."
        ),
    )
    value = models.CharField(
        _("value"),
        max_length=4096,
        blank=True,
        help_text=_("Permitted: nosniff. Prohibited: line breaks. Empty only to remove."),
    )
    condition = models.CharField(
        _("condition"), max_length=16, choices=Condition, default=Condition.ALWAYS
    )
    mode = models.CharField(_("mode"), max_length=16, choices=Mode, default=Mode.DEFAULT)

    class Meta:
        verbose_name = _("response header")
        verbose_name_plural = _("response headers")
        ordering: ClassVar[list[str]] = ["policy", "id"]
        constraints = (
            models.UniqueConstraint("policy", Lower("name"), name="apiguard_header_once"),
        )

    def __str__(self) -> str:
        return self.name

    def rule_problems(self) -> list[PolicyError]:
        removing = self.mode == self.Mode.REMOVE
        problem = rule_problem(
            "value", check_response_header, self.name, self.value, removing=removing
        )
        return [] if problem is None else [problem]
