"""``Tier`` and ``Limit``: how much a client may ask for."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from ..errors import PolicyError, RateError
from ..rules.rates import (
    MAX_AMOUNT,
    MAX_AT_ONCE,
    MAX_PERIOD,
    MAX_UNIT,
    REQUESTS,
    Rate,
    check_unit,
    format_rate,
)
from .base import CompiledModel
from .fields import ForeignKey, rule_problem

LIMIT_NAME = r"[a-z0-9-]{1,64}"


class Tier(CompiledModel):
    """A named set of limits; a request is admitted only if all of them admit it."""

    slug = models.SlugField(_("slug"), max_length=64, unique=True)
    name = models.CharField(_("name"), max_length=100)

    class Meta:
        verbose_name = _("tier")
        verbose_name_plural = _("tiers")
        ordering: ClassVar[list[str]] = ["name"]

    def __str__(self) -> str:
        return self.name


class Limit(CompiledModel):
    """At most ``amount`` in any ``period`` seconds, per UTC calendar day or month, or at once."""

    class Kind(models.TextChoices):
        WINDOW = "window", _("sliding window")
        QUOTA = "quota", _("calendar quota")
        CONCURRENT = "concurrent", _("requests in flight")

    class Per(models.TextChoices):
        CALLER = "caller", _("caller")
        CALLER_ROUTE = "caller-route", _("caller and route: each route by itself")

    class Calendar(models.TextChoices):
        DAY = "day", _("day")
        MONTH = "month", _("month")

    class Mode(models.TextChoices):
        ENFORCE = "enforce", _("enforce")
        SHADOW = "shadow", _("shadow: count, never refuse")

    class OnStoreFailure(models.TextChoices):
        LOCAL = "local", _("local: count in each process by itself")
        OPEN = "open", _("open: let everything pass")
        CLOSED = "closed", _("closed: refuse with 503")

    tier = ForeignKey(Tier, verbose_name=_("tier"), on_delete=models.CASCADE, related_name="limits")
    name = models.CharField(
        _("name"),
        max_length=64,
        validators=[RegexValidator(rf"\A{LIMIT_NAME}\Z")],
        help_text=_("Clients see it in headers. Permitted: per-minute. Prohibited: Per minute."),
    )
    kind = models.CharField(_("kind"), max_length=16, choices=Kind, default=Kind.WINDOW)
    amount = models.PositiveBigIntegerField(_("amount"))
    period = models.PositiveIntegerField(
        _("period"),
        null=True,
        blank=True,
        help_text=_(
            "Seconds; for sliding windows, and for how long a request counts as in flight at most."
        ),
    )
    calendar = models.CharField(
        _("calendar"), max_length=16, choices=Calendar, blank=True, help_text=_("For quotas.")
    )
    unit = models.CharField(
        _("unit"),
        max_length=MAX_UNIT,
        default=REQUESTS,
        help_text=_(
            "What is counted: requests, or a unit that views settle. "
            "Permitted: tokens, content-bytes. Prohibited: Tokens used."
        ),
    )
    per = models.CharField(
        _("per"),
        max_length=16,
        choices=Per,
        default=Per.CALLER,
        help_text=_("Whether the requests of all routes are counted together."),
    )
    route = ForeignKey(
        "apiguard.Route",
        verbose_name=_("route"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="limits",
        help_text=_("Empty: counts the requests of all routes together."),
    )
    mode = models.CharField(_("mode"), max_length=16, choices=Mode, default=Mode.ENFORCE)
    on_store_failure = models.CharField(
        _("when the counter is away"),
        max_length=16,
        choices=OnStoreFailure,
        default=OnStoreFailure.LOCAL,
    )

    class Meta:
        verbose_name = _("limit")
        verbose_name_plural = _("limits")
        ordering: ClassVar[list[str]] = ["tier", "id"]
        constraints = (
            models.UniqueConstraint(fields=["tier", "name"], name="apiguard_limit_name_in_tier"),
            models.CheckConstraint(
                condition=models.Q(amount__gte=1), name="apiguard_limit_amount_positive"
            ),
            models.CheckConstraint(
                # NULL >= 1 is neither true nor false, and a constraint lets it pass.
                condition=models.Q(kind="window", period__isnull=False, period__gte=1, calendar="")
                | models.Q(kind="quota", period=None, calendar__in=["day", "month"])
                | models.Q(
                    kind="concurrent",
                    period__isnull=False,
                    period__gte=1,
                    calendar="",
                    unit="requests",
                ),
                name="apiguard_limit_window_or_quota",
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def rate(self) -> str:
        """The limit as people say it, such as "100 per minute"."""
        calendar: Any = self.calendar
        at_once = self.kind == self.Kind.CONCURRENT
        return format_rate(Rate(self.amount, self.period, calendar, self.unit, at_once))

    def rule_problems(self) -> list[PolicyError]:
        problems: list[PolicyError] = []
        if not re.fullmatch(LIMIT_NAME, self.name):
            # It stands in response headers as it is.
            hint = "Write 1 to 64 lower-case letters, digits and hyphens."
            reason = f"{self.name!r} is no name of a limit."
            problems.append(RateError("bad_name", self.name, reason, hint, field="name"))
        most = MAX_AT_ONCE if self.kind == self.Kind.CONCURRENT else MAX_AMOUNT
        if not 1 <= self.amount <= most:
            problems.append(_wrong("amount", self.amount, f"Write 1 to {most:,}."))
        problem = rule_problem("unit", check_unit, self.unit)
        if problem is not None:
            problems.append(problem)
        elif self.kind == self.Kind.CONCURRENT and self.unit != REQUESTS:
            problems.append(_wrong("unit", self.unit, "Only requests are counted at once."))
        if self.kind != self.Kind.QUOTA:
            if self.calendar or not self.period or not 1 <= self.period <= MAX_PERIOD:
                hint = f"It has a period of 1 to {MAX_PERIOD:,} seconds and no calendar."
                problems.append(_wrong("period", self.period, hint))
        elif self.period is not None or self.calendar not in self.Calendar.values:
            hint = "A quota has a calendar (day or month) and no period."
            problems.append(_wrong("calendar", self.calendar, hint))
        return problems


def _wrong(field: str, value: object, hint: str) -> RateError:
    return RateError("not_a_rate", value, f"{value!r} cannot be counted.", hint, field=field)
