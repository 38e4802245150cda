"""Who changed which policy, when, and from what to what. Append-only.

A change is written in the transaction of the row it describes. It never holds
a secret or a digest: models name the fields that are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..signals import after_commit, policy_changed

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser


@dataclass(frozen=True, slots=True)
class Actor:
    """On whose behalf policy is being changed."""

    user: AbstractBaseUser | None = None
    name: str = ""
    request_id: str = ""
    reason: str = ""


_actor: ContextVar[Actor | None] = ContextVar("apiguard_actor", default=None)


@contextmanager
def acting(
    user: AbstractBaseUser | None = None, *, name: str = "", request_id: str = "", reason: str = ""
) -> Iterator[None]:
    """Name the person or program for all policy changes inside the block."""
    name = name or (user.get_username() if user is not None else "")
    token = _actor.set(Actor(user, name[:150], request_id[:128], reason))
    try:
        yield
    finally:
        _actor.reset(token)


@contextmanager
def default_actor(user: AbstractBaseUser | None, reason: str) -> Iterator[None]:
    """Inside the block, name ``user`` and ``reason`` where nobody has named one."""
    actor = _actor.get() or Actor()
    name = actor.name or (user.get_username() if user is not None else "")[:150]
    filled = replace(actor, user=actor.user or user, name=name, reason=actor.reason or reason)
    token = _actor.set(filled)
    try:
        yield
    finally:
        _actor.reset(token)


def current_actor() -> AbstractBaseUser | None:
    """The user on whose behalf policy is being changed, if it is one."""
    actor = _actor.get()
    return None if actor is None else actor.user


class PolicyChange(models.Model):
    """One entry of the history of policy."""

    class Action(models.TextChoices):
        CREATED = "created", _("created")
        CHANGED = "changed", _("changed")
        DELETED = "deleted", _("deleted")
        PUBLISHED = "published", _("published")
        RESET = "reset", _("counted from zero")

    revision = models.BigIntegerField(_("revision"), db_index=True)
    at = models.DateTimeField(_("when"), default=timezone.now, db_index=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("user"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    actor_name = models.CharField(_("who"), max_length=150, blank=True)
    request_id = models.CharField(_("request id"), max_length=128, blank=True)
    action = models.CharField(_("action"), max_length=16, choices=Action)
    model = models.CharField(_("kind of row"), max_length=100, blank=True)
    object_pk = models.CharField(_("primary key"), max_length=64, blank=True, db_index=True)
    object_name = models.CharField(_("row"), max_length=255, blank=True)
    before = models.JSONField(_("before"), null=True, blank=True, encoder=DjangoJSONEncoder)
    after = models.JSONField(_("after"), null=True, blank=True, encoder=DjangoJSONEncoder)
    reason = models.TextField(_("reason"), blank=True)

    class Meta:
        verbose_name = _("policy change")
        verbose_name_plural = _("policy changes")
        ordering: ClassVar[list[str]] = ["-revision", "-id"]

    def __str__(self) -> str:
        return f"{self.revision}: {self.model} {self.object_name} {self.action}"


def record(
    revision: int,
    action: str,
    *,
    using: str,
    model: str = "",
    pk: object = "",
    name: str = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Append one entry on behalf of whoever ``acting()`` names."""
    actor = _actor.get() or Actor()
    change = PolicyChange.objects.using(
        using
    ).create(
        revision=revision,
        action=action,
        actor=actor.user,  # type: ignore[misc]
        actor_name=actor.name,
        request_id=actor.request_id,
        reason=actor.reason,
        model=model,
        object_pk=str(pk)[:64],
        object_name=name[:255],
        before=before,
        after=after,
    )
    after_commit(policy_changed, PolicyChange, using, change=change)
