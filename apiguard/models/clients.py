"""``Client`` and ``LimitOverride``: who calls, and what is different for them."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from ..errors import PolicyError
from ..rules.networks import parse_network
from ..rules.rates import MAX_AMOUNT
from .base import PolicyModel
from .fields import ForeignKey, StringListField, list_problems, number_problem
from .state import What

NETWORKS_HELP = _(
    "One per line; empty: from anywhere. "
    "Permitted: 192.0.2.0/24 or 2001:db8::/32. Prohibited: 192.0.2.1/24 (host bits)."
)


class Client(PolicyModel):
    """A caller. Owns keys; limits are counted per client, whatever key is used."""

    publishes: ClassVar[What] = "clients"

    slug = models.SlugField(_("slug"), max_length=64, unique=True)
    name = models.CharField(_("name"), max_length=100)
    tier = ForeignKey(
        "apiguard.Tier",
        verbose_name=_("tier"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="clients",
        help_text=_("Empty: not limited."),
    )
    owner = ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("owner"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="apiguard_clients",
    )
    acts_as_owner = models.BooleanField(
        _("acts as owner"),
        default=False,
        help_text=_("Views see the owner as the signed-in user. Costs one query per request."),
    )
    enabled = models.BooleanField(
        _("enabled"), default=True, help_text=_("If unticked, all keys are refused.")
    )
    allowed_networks = StringListField(_("allowed networks"), help_text=NETWORKS_HELP)
    metadata = models.JSONField(_("metadata"), default=dict, blank=True)

    class Meta:
        verbose_name = _("client")
        verbose_name_plural = _("clients")
        ordering: ClassVar[list[str]] = ["name"]
        permissions = (
            ("impersonate", "Can create credentials that stand for users"),
            ("reset_counters", "Can count limits from zero and unlock addresses"),
        )

    def __str__(self) -> str:
        return self.name

    def rule_problems(self) -> list[PolicyError]:
        problems = list_problems(self, "allowed_networks", parse_network)
        if self.acts_as_owner and self.owner_id is None:
            problems.append(
                PolicyError(
                    "no_owner",
                    "",
                    "This client acts as its owner, but has none.",
                    "Choose an owner, or untick 'acts as owner'.",
                    field="acts_as_owner",
                )
            )
        return problems


class LimitOverride(PolicyModel):
    """Another amount of one limit for one client, on the same counter.

    Part of the client's record: a change makes workers forget this client alone.
    """

    publishes: ClassVar[What] = "clients"
    named_by: ClassVar[str] = "client_id"

    client = ForeignKey(
        Client, verbose_name=_("client"), on_delete=models.CASCADE, related_name="overrides"
    )
    limit = ForeignKey(
        "apiguard.Limit",
        verbose_name=_("limit"),
        on_delete=models.CASCADE,
        related_name="overrides",
    )
    amount = models.PositiveBigIntegerField(_("amount"))
    until = models.DateTimeField(_("until"), null=True, blank=True, help_text=_("Empty: for good."))
    reason = models.CharField(_("reason"), max_length=255, blank=True)

    class Meta:
        verbose_name = _("limit override")
        verbose_name_plural = _("limit overrides")
        constraints = (
            models.UniqueConstraint(
                fields=["client", "limit"], name="apiguard_override_once_per_limit"
            ),
            models.CheckConstraint(
                condition=models.Q(amount__gte=1), name="apiguard_override_amount_positive"
            ),
        )

    def __str__(self) -> str:
        return f"{self.amount:,}"

    def rule_problems(self) -> list[PolicyError]:
        return number_problem(self, "amount", 1, MAX_AMOUNT)
