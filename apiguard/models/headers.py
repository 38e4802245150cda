"""``HeaderPolicy`` and ``ResponseHeader``: what every response of a route carries."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Cast, Lower
from django.utils.translation import gettext_lazy as _

from .. import conf
from ..errors import PolicyError
from ..rules.headers import check_response_header
from ..rules.media import parse_essence_range
from .base import CompiledModel
from .fields import ForeignKey, StringListField, list_problems, rule_problem


class HeaderPolicy(CompiledModel):
    """A named set of response headers."""

    name = models.CharField(_("name"), max_length=100, unique=True)

    class Meta:
        verbose_name = _("header policy")
        verbose_name_plural = _("header policies")
        ordering: ClassVar[list[str]] = ["name"]

    def __str__(self) -> str:
        return self.name


class ResponseHeader(CompiledModel):
    """One response header of a policy, on responses of all media types or of some.

    Of several rows for one header the one that names a response's type most
    closely decides.
    """

    class Condition(models.TextChoices):
        ALWAYS = "always", _("always")
        HTTPS = "https", _("over https only")

    class Mode(models.TextChoices):
        DEFAULT = "default", _("default: unless the view sets it")
        FORCE = "force", _("force: replaces what the view sets")
        REMOVE = "remove", _("remove: never sent")

    policy = ForeignKey(
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
    content_types = StringListField(
        _("content types"),
        help_text=_(
            "Media types of responses; empty: all. "
            "Permitted: text/html or application/*+json. Prohibited: text/html;charset=utf-8."
        ),
    )

    class Meta:
        verbose_name = _("response header")
        verbose_name_plural = _("response headers")
        ordering: ClassVar[list[str]] = ["policy", "id"]
        constraints = (
            models.UniqueConstraint(
                "policy",
                Lower("name"),
                Cast("content_types", models.TextField()),
                name="apiguard_header_once",
                violation_error_message=_("This policy has the header for the same types already."),
            ),
        )

    def __str__(self) -> str:
        return self.name

    def rule_problems(self) -> list[PolicyError]:
        removing = self.mode == self.Mode.REMOVE
        reserved = (conf.current().request_id_header.lower(),)
        problem = rule_problem(
            "value",
            check_response_header,
            self.name,
            self.value,
            removing=removing,
            reserved=reserved,
        )
        types = list_problems(self, "content_types", parse_essence_range)
        return types if problem is None else [problem, *types]
