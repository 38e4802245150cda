"""``ApiKey``: one credential of a client; only its digest is kept.

The text of a key exists once, in the return value of ``issue()`` or
``rotate()``. Keys are revoked, never deleted: a revoked row is what tells an
operator why a caller is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models, router, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .. import conf, signals
from ..errors import PolicyError
from ..rules.key_life import KeyState, key_state, succession
from ..rules.networks import parse_network
from ..rules.scopes import check_registered, parse_scopes
from .audit import current_actor, default_actor
from .base import PolicyModel
from .clients import NETWORKS_HELP, Client
from .fields import ForeignKey, StringListField, list_problems
from .key_manager import ApiKeyManager
from .key_queryset import irreversible, may_be_null
from .state import PolicyState, What, one_revision

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser


class ApiKey(PolicyModel):
    """The public part and the digest of one key."""

    publishes: ClassVar[What] = "keys"
    unaudited: ClassVar[frozenset[str]] = frozenset(
        {"digest", "pepper_id", "last_used_at", "last_used_from", "announced_end_at"}
    )

    class Environment(models.TextChoices):
        LIVE = "live", _("live")
        TEST = "test", _("test")

    client = ForeignKey(
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
    revoked_by = ForeignKey(
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
    replaces = ForeignKey(
        "self",
        verbose_name=_("replaces"),
        null=True,
        blank=True,
        editable=False,
        on_delete=models.PROTECT,
        related_name="replaced_by",
    )
    rotated_at = models.DateTimeField(_("rotated at"), null=True, blank=True, editable=False)
    # A grace time brings expires_at forward; successors live as long as was meant before.
    planned_end_at = models.DateTimeField(
        _("end planned before rotation"), null=True, blank=True, editable=False
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(_("last used at"), null=True, blank=True, editable=False)
    # A network (/24 or /48) and no address: it answers whose machine that is, and no more.
    last_used_from = models.CharField(
        _("last used from"), max_length=64, blank=True, default="", editable=False
    )
    # The value of expires_at for which the signal key_expiring was sent.
    announced_end_at = models.DateTimeField(
        _("announced end"), null=True, blank=True, editable=False
    )

    objects: ClassVar[ApiKeyManager[ApiKey]] = ApiKeyManager()

    class Meta:
        default_permissions = ("add", "change", "view")
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        ordering: ClassVar[list[str]] = ["client", "-created_at"]
        permissions = (
            ("rotate_apikey", "Can rotate API key"),
            ("revoke_apikey", "Can revoke API key"),
            ("grant_scopes", "Can grant scopes to API keys"),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(not_before=None)
                | Q(expires_at=None)
                | Q(expires_at__gt=models.F("not_before")),
                name="apiguard_key_valid_some_time",
            ),
            # A constraint sees one state of a row, not that it was another before.
            models.CheckConstraint(
                condition=Q(revoked_at=None, revoked_by=None, revoke_reason="")
                | (Q(revoked_at__isnull=False) & ~Q(revoke_reason="")),
                name="apiguard_key_revoked_for_a_reason",
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

    def clean(self) -> None:
        super().clean()
        if not self._state.adding and self.revoked_at is None:
            stored = type(self)._base_manager.using(self._for_write())
            if stored.filter(pk=self.pk, revoked_at__isnull=False).exists():
                raise irreversible()

    def check_change(self, before: Self) -> None:
        """Refuse to bring a revoked key back, also through a row read before it was revoked."""
        if before.revoked_at is not None and may_be_null(self.revoked_at):
            raise irreversible()

    def save(self, *args: Any, **kwargs: Any) -> None:
        is_new = self._state.adding
        super().save(*args, **kwargs)
        if is_new:
            self._send(signals.key_issued, key=self, by=current_actor())

    # -- its life ---------------------------------------------------------------

    def state(self, now: datetime | None = None) -> KeyState:
        """Return what this key can do at ``now``; reads ``client``."""
        settings_ = conf.current()
        return key_state(
            now or timezone.now(),
            revoked=self.revoked_at is not None,
            not_before=self.not_before,
            expires_at=self.expires_at,
            test_refused=self.environment == "test" and not settings_.allow_test_keys,
            client_enabled=self.client.enabled,
            pepper_known=not self.pepper_id or self.pepper_id in settings_.key_peppers,
            broken=bool(self.problems() or self.client.problems()),
        )

    def revoke(self, reason: str, by: AbstractBaseUser | None = None) -> None:
        """End this key now and for good. Revoking twice changes nothing.

        Args:
            reason: why, for the operators who will ask.
            by: who did it, if it was a user.

        Raises:
            ValidationError: no reason is given.
        """
        if not reason.strip():
            raise ValidationError({"revoke_reason": _("Give a reason: the history keeps it.")})
        with self._locked(), default_actor(by, reason):
            if self.revoked_at is None:
                self._note_revocation(reason, by)
                self.save(update_fields=_REVOCATION)

    def rotate(
        self,
        grace: timedelta = timedelta(0),
        by: AbstractBaseUser | None = None,
        reason: str = "",
    ) -> tuple[ApiKey, str]:
        """Make this key's successor; this one ends when ``grace`` is over.

        The successor belongs to the same client, so that no quota begins anew,
        and has the settings that are stored now, whatever this object says.

        Returns:
            The new key and its text.

        Raises:
            ValidationError: this key is revoked or expired; somebody rotated it
                since it was read; or its settings are wrong by now.
        """
        seen, reason = self.rotated_at, reason.strip() or "rotated"
        with self._locked() as now, default_actor(by, reason), one_revision():
            self._refuse_to_rotate(now, seen)
            planned_end = self.planned_end_at if self.rotated_at else self.expires_at
            times = succession(
                now,
                grace,
                made=self.created_at,
                begins=self.not_before,
                ends=self.expires_at,
                planned_end=planned_end,
            )
            key, text = (
                type(self)
                .objects.db_manager(self._for_write())
                .issue(
                    self.client,
                    self.name,
                    self.scopes,
                    self.environment,
                    times.ends,
                    allowed_networks=self.allowed_networks,
                    not_before=times.begins,
                    replaces=self,
                )
            )
            self.rotated_at, self.planned_end_at = now, planned_end
            if times.old_ends is None:
                self._note_revocation(reason, by)
            else:
                self.expires_at = times.old_ends
            self.save(update_fields=[*_REVOCATION, "expires_at", "rotated_at", "planned_end_at"])
            self._send(signals.key_rotated, old=self, new=key, by=by, reason=reason)
        return key, text

    def _refuse_to_rotate(self, now: datetime, seen: datetime | None) -> None:
        if self.revoked_at is not None:
            raise ValidationError(_("This key is revoked; issue a new one for its client."))
        if self.expires_at is not None and self.expires_at <= now:
            raise ValidationError(_("This key has expired; issue a new one for its client."))
        if self.rotated_at != seen:
            raise already_rotated()

    def _note_revocation(self, reason: str, by: AbstractBaseUser | None) -> None:
        self.revoked_at = timezone.now()
        self.revoke_reason = reason.strip()[:255]
        self.revoked_by = by  # type: ignore[assignment]
        self._send(signals.key_revoked, key=self, by=by, reason=self.revoke_reason)

    @contextmanager
    def _locked(self) -> Iterator[datetime]:
        """A transaction that holds the lock of every change, and this row as it is stored."""
        with transaction.atomic(using=self._for_write()):
            states = PolicyState.objects.using(self._for_write()).select_for_update()
            states.filter(pk=1).first()
            self.refresh_from_db(using=self._for_write())
            yield timezone.now()

    def _for_write(self) -> str:
        return router.db_for_write(type(self), instance=self)

    def _send(self, signal: Any, **named: Any) -> None:
        signals.after_commit(signal, type(self), self._for_write(), **named)


_REVOCATION = ("revoked_at", "revoke_reason", "revoked_by")


def already_rotated() -> ValidationError:
    """Return the error of the second of two rotations of one key."""
    return ValidationError(
        _(
            "Somebody else has rotated this key meanwhile, and it has a successor. "
            "Look at it first; if you still need another, rotate once more."
        ),
        code="rotated_meanwhile",
    )
