"""``ApiKey``: one credential of a client; only its digest is kept.

The text of a key exists once, in the return value of ``issue()`` or
``rotate()``. Keys are revoked, never deleted: a revoked row is what tells an
operator why a caller is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .. import conf
from ..errors import PolicyError
from ..rules import keys as key_rules
from ..rules.networks import parse_network
from ..rules.scopes import check_registered, parse_scopes
from .base import PolicyManager, PolicyModel
from .clients import NETWORKS_HELP, Client
from .fields import StringListField, list_problems
from .key_queryset import ApiKeyQuerySet, irreversible, may_be_null
from .state import What

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser


class ApiKeyManager(PolicyManager.from_queryset(ApiKeyQuerySet)):  # type: ignore[misc]
    """``ApiKey.objects``."""

    def build(
        self,
        client: Client,
        name: str,
        scopes: Iterable[str] = (),
        environment: str = "live",
        expires_at: datetime | None = None,
        **fields: Any,
    ) -> tuple[ApiKey, str]:
        """An unsaved key and its text.

        Raises:
            ScopeError: a scope is not an RFC 6749 scope token.
        """
        settings_ = conf.current()
        parts = key_rules.generate(settings_.key_namespace, environment)
        pepper_id, pepper = next(iter(settings_.key_peppers.items()), ("", None))
        key = self.model(
            client=client,
            name=name,
            environment=environment,
            key_id=parts.key_id,
            digest=key_rules.digest(parts.text, pepper),
            pepper_id=pepper_id,
            scopes=list(parse_scopes(scopes)),
            expires_at=expires_at,
            **fields,
        )
        return key, parts.text

    def issue(
        self,
        client: Client,
        name: str,
        scopes: Iterable[str] = (),
        environment: str = "live",
        expires_at: datetime | None = None,
        **fields: Any,
    ) -> tuple[ApiKey, str]:
        """Make a key for ``client``.

        Returns:
            The saved row, and the key's text, which nothing can show again.

        Raises:
            ScopeError: a scope is not an RFC 6749 scope token.
            ValidationError: a field is wrong, such as an unregistered scope.
        """
        key, text = self.build(client, name, scopes, environment, expires_at, **fields)
        key.full_clean()
        key.save(using=self._db)
        return key, text


class ApiKey(PolicyModel):
    """The public part and the digest of one key."""

    publishes: ClassVar[What] = "keys"
    unaudited: ClassVar[frozenset[str]] = frozenset({"digest", "pepper_id", "last_used_at"})

    class Environment(models.TextChoices):
        LIVE = "live", _("live")
        TEST = "test", _("test")

    client = models.ForeignKey(
        Client, verbose_name=_("client"), on_delete=models.PROTECT, related_name="keys"
    )
    name = models.CharField(_("name"), max_length=100)
    environment = models.CharField(
        _("environment"), max_length=8, choices=Environment, default=Environment.LIVE
    )
    key_id = models.CharField(_("key id"), max_length=12, unique=True, editable=False)
    digest = models.CharField(_("digest"), max_length=64, editable=False)
    pepper_id = models.CharField(_("pepper id"), max_length=64, blank=True, editable=False)
    scopes = StringListField(
        _("scopes"),
        help_text=_("One per line; empty: none. Permitted: orders:read. Prohibited: orders read."),
    )
    allowed_networks = StringListField(_("allowed networks"), help_text=NETWORKS_HELP)
    not_before = models.DateTimeField(_("not before"), null=True, blank=True)
    expires_at = models.DateTimeField(
        _("expires at"), null=True, blank=True, help_text=_("Empty: never.")
    )
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True, editable=False)
    revoked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("revoked by"),
        null=True,
        blank=True,
        editable=False,
        on_delete=models.PROTECT,
        related_name="+",
    )
    revoke_reason = models.CharField(
        _("reason of revocation"), max_length=255, blank=True, editable=False
    )
    replaces = models.ForeignKey(
        "self",
        verbose_name=_("replaces"),
        null=True,
        blank=True,
        editable=False,
        on_delete=models.PROTECT,
        related_name="replaced_by",
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(_("last used at"), null=True, blank=True, editable=False)

    objects: ClassVar[ApiKeyManager] = ApiKeyManager()

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        ordering: ClassVar[list[str]] = ["client", "-created_at"]
        constraints = (
            models.CheckConstraint(
                condition=Q(not_before=None)
                | Q(expires_at=None)
                | Q(expires_at__gt=models.F("not_before")),
                name="apiguard_key_valid_some_time",
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.key_id})"

    def rule_problems(self) -> list[PolicyError]:
        problems = [
            *list_problems(self, "scopes", lambda scope: parse_scopes([scope])),
            *list_problems(self, "allowed_networks", parse_network),
        ]
        if not problems:
            unknown = check_registered(self.scopes, conf.current().scopes)
            problems += [problem.at("scopes") for problem in unknown]
        return problems

    def check_change(self, before: Self) -> None:
        """Refuse to bring a revoked key back, whoever read it before it was revoked."""
        if before.revoked_at is not None and may_be_null(self.revoked_at):
            raise irreversible()

    def revoke(self, reason: str, by: AbstractBaseUser | None = None) -> None:
        """End this key now and for good. Revoking twice changes nothing.

        Args:
            reason: why, for the operators who will ask.
            by: who did it, if it was a user.
        """
        self._read_revocation()
        if self.revoked_at is not None:
            return
        self.revoked_at = timezone.now()
        self.revoke_reason = reason[:255]
        self.revoked_by = by  # type: ignore[assignment]
        self.save(update_fields=["revoked_at", "revoke_reason", "revoked_by"])

    def _read_revocation(self) -> None:
        """Somebody else may have revoked this key since it was read."""
        fields = ["revoked_at", "revoked_by", "revoke_reason"]
        self.refresh_from_db(using=self._state.db, fields=fields)

    def rotate(
        self,
        grace: timedelta = timedelta(0),
        by: AbstractBaseUser | None = None,
        reason: str = "",
    ) -> tuple[ApiKey, str]:
        """Make this key's successor; this one ends when ``grace`` is over.

        Returns:
            The new key and its text.

        Raises:
            ValidationError: this key is revoked already.
        """
        self._read_revocation()
        if self.revoked_at is not None:
            raise ValidationError(_("This key is revoked; issue a new one for its client."))
        with transaction.atomic(using=self._state.db):
            key, text = type(self).objects.issue(
                self.client,
                self.name,
                self.scopes,
                self.environment,
                # As long as this one was meant to live, counted from now.
                self.expires_at and timezone.now() + (self.expires_at - self.created_at),
                allowed_networks=self.allowed_networks,
                replaces=self,
            )
            if grace <= timedelta(0):
                self.revoke(reason or "rotated", by)
            else:
                end = timezone.now() + grace
                self.expires_at = min(self.expires_at, end) if self.expires_at else end
                self.save(update_fields=["expires_at"])
        return key, text
