"""``Route``: a path prefix and everything that is enforced there."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings as django_settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from .. import conf
from ..errors import PathError, PolicyError
from ..rules.headers import check_method
from ..rules.media import parse_media_range, parse_media_type
from ..rules.paths import normalise_prefix
from ..rules.rates import check_cost, check_reserve
from ..rules.scopes import check_registered, parse_scopes
from .base import CompiledModel
from .fields import (
    ForeignKey,
    PathPrefixField,
    StringListField,
    UnitsField,
    list_problems,
    rule_problem,
)
from .reach import covers_a_pattern, suggest_prefixes


class Route(CompiledModel):
    """The longest matching prefix decides; nothing is inherited from a shorter one."""

    class Mode(models.TextChoices):
        ENFORCE = "enforce", _("enforce")
        OBSERVE = "observe", _("observe: judge, refuse nothing")
        CLOSED = "closed", _("closed: refuse everybody with 503 for now")
        OFF = "off", _("off: as if this row were absent")

    class Access(models.TextChoices):
        PUBLIC = "public", _("public: no credential is asked for")
        CREDENTIALS = "credentials", _("credentials: an API key or a token is required")
        APPLICATION = "application", _("application: the project itself decides")

    name = models.CharField(_("name"), max_length=100, unique=True)
    path_prefix = PathPrefixField(
        _("path prefix"),
        max_length=255,
        unique=True,
        help_text=_(
            "Everything at and below this path, case-sensitive. "
            "Permitted: /api/ or /api/export. Prohibited: api, /api/*, https://example.com/api."
        ),
    )
    mode = models.CharField(
        _("mode"),
        max_length=16,
        choices=Mode,
        default=Mode.ENFORCE,
        help_text=_("Observe judges every request and counts what would have been refused."),
    )
    access = models.CharField(
        _("access"), max_length=16, choices=Access, default=Access.CREDENTIALS
    )
    required_scopes = StringListField(
        _("required scopes"),
        help_text=_(
            "One per line; a credential needs all of them. "
            "Permitted: orders:read. Prohibited: orders read (white space)."
        ),
    )
    methods = StringListField(
        _("methods"),
        help_text=_(
            "Empty: not checked. GET includes HEAD. Permitted: GET. Prohibited: get, TRACE."
        ),
    )
    accepts = StringListField(
        _("accepts"),
        help_text=_(
            "Media types of request bodies; empty: not checked. "
            "Permitted: application/json, application/*+json or image/*. Prohibited: json."
        ),
    )
    produces = StringListField(
        _("produces"),
        help_text=_(
            "Media types of responses, held against Accept; empty: not checked. "
            "Permitted: application/json. Prohibited: */*."
        ),
    )
    max_body_bytes = models.PositiveBigIntegerField(
        _("largest body"),
        null=True,
        blank=True,
        help_text=_("In bytes; empty: not checked. Permitted: 1048576. Prohibited: 1 MiB."),
    )
    cost = models.PositiveIntegerField(
        _("cost"),
        default=1,
        help_text=_("How much of each limit one request uses up. Permitted: 1 or 10. Not: 0."),
    )
    reserve = UnitsField(
        _("reserved beforehand"),
        help_text=_(
            "What a request takes of other units until its view settles what it used. Limits of "
            "these units hold on this route. Permitted: 1000 tokens. Prohibited: tokens."
        ),
    )
    cors_policy = ForeignKey(
        "apiguard.CorsPolicy",
        verbose_name=_("CORS policy"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="routes",
        help_text=_("Empty: the Origin header is not looked at."),
    )
    header_policy = ForeignKey(
        "apiguard.HeaderPolicy",
        verbose_name=_("header policy"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="routes",
    )
    anonymous_tier = ForeignKey(
        "apiguard.Tier",
        verbose_name=_("anonymous tier"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="anonymous_routes",
        help_text=_("Counts requests without a credential, by address. Empty: not counted."),
    )
    user_tier = ForeignKey(
        "apiguard.Tier",
        verbose_name=_("user tier"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="user_routes",
        help_text=_("Counts signed-in users on application routes. Empty: not counted."),
    )

    class Meta:
        verbose_name = _("route")
        verbose_name_plural = _("routes")
        ordering: ClassVar[list[str]] = ["path_prefix"]
        permissions = (("explain_request", "Can explain requests"),)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(cost__gte=1), name="apiguard_route_cost_positive"
            ),
        )

    def __str__(self) -> str:
        return self.name

    def rule_problems(self) -> list[PolicyError]:
        found = [
            rule_problem("path_prefix", normalise_prefix, self.path_prefix),
            rule_problem("cost", check_cost, self.cost),
            rule_problem("reserve", check_reserve, self.reserve),
        ]
        return [
            *(problem for problem in found if problem is not None),
            *self._scope_problems(),
            *list_problems(self, "methods", check_method),
            *list_problems(self, "accepts", parse_media_range),
            *list_problems(self, "produces", parse_media_type),
        ]

    def oddities(self) -> list[PolicyError]:
        """Return what is enforced as it stands, but can hardly be meant."""
        return [*self._oversized_bodies(), *self._unreachable_prefix()]

    def _unreachable_prefix(self) -> list[PolicyError]:
        prefix = self.path_prefix
        if covers_a_pattern(prefix):
            return []
        meant = suggest_prefixes(prefix)
        such_as = f" Such as: {', '.join(meant)}." if meant else ""
        return [
            PathError(
                "covers_no_url",
                prefix,
                "No URL pattern of the project has a path under this prefix, so the route guards "
                "nothing.",
                "Write the path as Django's URLconf has it: with the language of i18n_patterns, "
                f"without the context path (SCRIPT_NAME).{such_as}",
                field="path_prefix",
                suggestion=meant[0] if meant else None,
            )
        ]

    def _oversized_bodies(self) -> list[PolicyError]:
        most = getattr(django_settings, "DATA_UPLOAD_MAX_MEMORY_SIZE", None)
        if most is None or (self.max_body_bytes or 0) <= most or self._takes_uploads_alone():
            return []
        return [
            PolicyError(
                "above_djangos_limit",
                self.max_body_bytes,
                f"Django takes no more than {most:,} bytes into memory, uploaded files apart: "
                "larger bodies are answered with 413 all the same.",
                "Lower it, or raise DATA_UPLOAD_MAX_MEMORY_SIZE in the settings.",
                field="max_body_bytes",
            )
        ]

    def _takes_uploads_alone(self) -> bool:
        return bool(self.accepts) and all(
            item.lower().startswith("multipart/form-data") for item in self.accepts
        )

    def _scope_problems(self) -> list[PolicyError]:
        problems = list_problems(self, "required_scopes", lambda scope: parse_scopes([scope]))
        if problems or not self.required_scopes:
            return problems
        if self.access != self.Access.CREDENTIALS:
            problems.append(
                PolicyError(
                    "scopes_without_credentials",
                    " ".join(self.required_scopes),
                    "Scopes are required here, but no credential is.",
                    "Choose the access 'credentials', or remove the scopes.",
                    field="required_scopes",
                )
            )
        registry = conf.current().scopes
        unknown = check_registered(self.required_scopes, registry)
        return [*problems, *(problem.at("required_scopes") for problem in unknown)]
