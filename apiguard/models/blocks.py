"""``BlockedNetwork``: whose requests are refused before anything else is looked at."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from ..errors import NetworkError, PolicyError
from ..rules.networks import parse_network
from .base import CompiledModel
from .fields import NetworkField, rule_problem


class BlockedNetwork(CompiledModel):
    """Every request from these addresses is refused, on every path, until the block ends."""

    network = NetworkField(
        _("network"),
        max_length=64,
        unique=True,
        help_text=_(
            "Permitted: 192.0.2.7, 192.0.2.0/24 or 2001:db8::/64. "
            "Prohibited: 192.0.2.7/24 (host bits)."
        ),
    )
    until = models.DateTimeField(_("until"), null=True, blank=True, help_text=_("Empty: for good."))
    reason = models.CharField(_("reason"), max_length=255)

    class Meta:
        verbose_name = _("blocked network")
        verbose_name_plural = _("blocked networks")
        ordering: ClassVar[list[str]] = ["network"]
        # One permission to add, change and end blocks: there is nothing to tell apart.
        default_permissions = ("view",)
        permissions = (("block_network", "Can block and unblock networks"),)

    def __str__(self) -> str:
        return str(self.network)

    def rule_problems(self) -> list[PolicyError]:
        problem = rule_problem("network", parse_network, self.network)
        if problem is not None:
            if problem.suggestion:
                problem.hint = f"{problem.hint} Such as: {problem.suggestion}"
            return [problem]
        if parse_network(self.network).prefixlen > 0:
            return []
        return [
            NetworkError(
                "everybody",
                self.network,
                "This blocks everybody, the admin included.",
                "Set the mode of a route to 'closed' instead.",
                field="network",
            )
        ]
