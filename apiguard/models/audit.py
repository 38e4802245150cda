"""The history: the author, time and values of every change of policy. Append-only.

A change is written in the transaction of the row it describes. It never holds
a secret or a digest: models name the fields that are left out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .. import conf
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
    """Return the user on whose behalf policy is being changed, if it is one."""
    actor = _actor.get()
    return None if actor is None else actor.user


def actor_in_force() -> Actor:
    """Return the actor that ``acting()`` names; else the command that runs, or nobody."""
    return _actor.get() or Actor(name=_command(), request_id=request_id_of())


class PolicyChange(models.Model):
    """One entry of the history of policy."""

    class Action(models.TextChoices):
        CREATED = "created", _("created")
        CHANGED = "changed", _("changed")
        DELETED = "deleted", _("deleted")
        PUBLISHED = "published", _("published")
        RESET = "reset", _("counted from zero")
        FOUND = "found", _("found: made past the models")

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
    # By column that refers to a row: what that row was called, by primary key.
    names = models.JSONField(_("names"), default=dict, blank=True)
    reason = models.TextField(_("reason"), blank=True)

    class Meta:
        default_permissions = ("view",)
        verbose_name = _("policy change")
        verbose_name_plural = _("policy changes")
        permissions = (("undo_change", "Can undo policy changes"),)
        ordering: ClassVar[list[str]] = ["-revision", "-id"]

    def __str__(self) -> str:
        return f"{self.revision}: {self.model} {self.object_name} {self.action}"

    @property
    def is_of_a_row(self) -> bool:
        """Whether ``before`` and ``after`` are values of a row."""
        return bool(self.model) and self.action != self.Action.RESET


@dataclass(frozen=True, slots=True)
class Entry:
    """What happened to one row: its values before and after, by column.

    Without ``before`` the row is new, without ``after`` it is gone; of a changed
    row both hold the columns that differ.
    """

    action: str
    model: str = ""
    pk: object = ""
    name: str = ""
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def record_entries(revision: int, entries: Iterable[Entry], using: str) -> None:
    """Append entries under the actor that ``acting()`` names; else of the command that runs."""
    actor = actor_in_force()
    changes = [
        PolicyChange(
            revision=revision,
            action=entry.action,
            actor=actor.user,  # type: ignore[misc]
            actor_name=actor.name,
            request_id=actor.request_id or request_id_of()[:128],
            reason=actor.reason,
            model=entry.model,
            object_pk=str(entry.pk)[:64],
            object_name=entry.name[:255],
            before=entry.before,
            after=entry.after,
            names=entry.names,
        )
        for entry in entries
    ]
    if len(changes) == 1:
        changes[0].save(using=using, force_insert=True)
    else:
        PolicyChange.objects.using(using).bulk_create(changes, batch_size=500)
    _forget_old(using)
    for change in changes:
        after_commit(policy_changed, PolicyChange, using, change=change)


# A write deletes no more old entries than this, so that none takes long.
FORGOTTEN_AT_ONCE = 500


def _forget_old(using: str) -> None:
    days = conf.current().history_keep_days
    if days is None:
        return
    entries = PolicyChange.objects.using(using)
    old = entries.filter(at__lt=timezone.now() - timedelta(days=days)).order_by("pk")
    pks = list(old.values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE])
    if pks:
        entries.filter(pk__in=pks).delete()


def _no_request() -> str:
    return ""


# The id of the request that is being served; set where requests are known.
request_id_of: Callable[[], str] = _no_request


def _command() -> str:
    """Return the management command that this process runs, such as "loaddata (command line)"."""
    program, *arguments = sys.argv or [""]
    is_django = PurePath(program).name in ("manage.py", "django-admin", "django-admin.py")
    words = [word for word in arguments[:1] if not word.startswith("-")]
    is_server = words[:1] in (["runserver"], ["test"], ["testserver"])
    return f"{words[0]} (command line)" if is_django and words and not is_server else ""
