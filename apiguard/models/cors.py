"""``CorsPolicy`` and ``AllowedOrigin``: which sites' scripts may read responses."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from ..errors import HeaderError, PolicyError
from ..rules.headers import check_field_name, check_method
from ..rules.origins import pattern_errors
from .base import CompiledModel
from .fields import ForeignKey, StringListField, list_problems, number_problem

# Seconds, a year. Browsers stop far earlier: Firefox after a day, Chromium after two hours.
LONGEST_MAX_AGE = 31_536_000


def check_listed_name(name: str) -> str:
    """Return the name itself, if a list of request or response headers may hold it.

    Raises:
        HeaderError: ``wildcard_header``, and all of ``check_field_name``.
    """
    if name == "*":
        # With credentials the Fetch standard reads "*" as a name, not as "all".
        raise HeaderError(
            "wildcard_header", name, "A list of headers cannot hold *.", "Name each header."
        )
    return check_field_name(name)


class CorsPolicy(CompiledModel):
    """What the scripts of its allowed origins may send and read (Fetch, section 3.2)."""

    name = models.CharField(_("name"), max_length=100, unique=True)
    allowed_methods = StringListField(
        _("allowed methods"),
        help_text=_(
            "GET, HEAD and POST are always allowed. Permitted: PATCH. Prohibited: patch, TRACE."
        ),
    )
    allowed_headers = StringListField(
        _("allowed request headers"),
        help_text=_("Permitted: Authorization. Prohibited: * or Authorization: Bearer."),
    )
    exposed_headers = StringListField(
        _("exposed response headers"),
        help_text=_("What scripts may read. Permitted: X-Request-ID. Prohibited: *."),
    )
    allow_credentials = models.BooleanField(
        _("allow credentials"),
        default=False,
        help_text=_("Cookies and HTTP authentication of the user go along."),
    )
    max_age = models.PositiveIntegerField(
        _("max age"),
        default=86400,
        help_text=_("Seconds for which a browser may remember a preflight."),
    )
    refuse_foreign_origins = models.BooleanField(
        _("refuse foreign origins"),
        default=True,
        help_text=_(
            "A request that names another origin is refused with 403. "
            "If unticked it is served, and the browser keeps the response from the script."
        ),
    )
    dangerously_allow_insecure_origins = models.BooleanField(
        _("dangerously allow insecure origins"),
        default=False,
        help_text=_("Credentials for http:// origins: anybody on the network path can use them."),
    )
    dangerously_allow_public_suffixes = models.BooleanField(
        _("dangerously allow public suffixes"),
        default=False,
        help_text=_("Patterns such as https://*.github.io: anybody can register a matching name."),
    )

    class Meta:
        verbose_name = _("CORS policy")
        verbose_name_plural = _("CORS policies")
        ordering: ClassVar[list[str]] = ["name"]

    def __str__(self) -> str:
        return self.name

    def rule_problems(self) -> list[PolicyError]:
        return [
            *list_problems(self, "allowed_methods", check_method),
            *list_problems(self, "allowed_headers", check_listed_name),
            *list_problems(self, "exposed_headers", check_listed_name),
            *number_problem(self, "max_age", 0, LONGEST_MAX_AGE),
        ]


class AllowedOrigin(CompiledModel):
    """One origin, or one family of origins, of a CORS policy."""

    policy = ForeignKey(
        CorsPolicy, verbose_name=_("policy"), on_delete=models.CASCADE, related_name="origins"
    )
    pattern = models.CharField(
        _("origin"),
        max_length=255,
        help_text=_(
            "Permitted: https://app.example.com, https://*.example.com, http://localhost:*. "
            "Prohibited: https://example.com/ (path), *.example.com (no scheme), null."
        ),
    )
    enabled = models.BooleanField(_("enabled"), default=True)
    note = models.CharField(_("note"), max_length=255, blank=True)

    class Meta:
        verbose_name = _("allowed origin")
        verbose_name_plural = _("allowed origins")
        ordering: ClassVar[list[str]] = ["policy", "pattern"]
        constraints = (
            models.UniqueConstraint(
                fields=["policy", "pattern"], name="apiguard_origin_once_per_policy"
            ),
        )

    def __str__(self) -> str:
        return self.pattern

    def rule_problems(self) -> list[PolicyError]:
        return [error.at("pattern") for error in pattern_errors(self.pattern)]
