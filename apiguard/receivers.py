"""Publishes the writes that base classes cannot see.

Raw fixtures bypass ``save()``; cascades bypass ``delete()``. ``origin`` tells
whether a deletion began at a policy row, whose own ``delete()`` has published
it already. ``migrate`` and ``flush`` replace tables under our feet: whatever
this process holds then means nothing any more.

Receivers are connected to policy models one by one: a ``pre_delete`` receiver
for all senders would cost the whole project Django's fast deletes.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import connections, transaction
from django.db.models.signals import post_migrate, post_save, pre_delete, pre_save

from .models import PolicyModel, PolicyQuerySet
from .models.row_changes import read_rows
from .models.state import Change, PendingChange, committed, everything, publish, publish_once

# Where an instance keeps, while it is saved raw, its row as it was and the revision.
_RAW_SAVE = "_apiguard_raw_save"


def before_raw_save(
    sender: type[PolicyModel], instance: PolicyModel, raw: bool, using: str, **_: Any
) -> None:
    """``loaddata``, whose transaction is open: the revision first, as always."""
    if not raw:
        return
    revision = None
    if connections[using].in_atomic_block:
        revision = publish_once(sender.change_by_insert((), is_upsert=True), using)
        for name, value in sender.revision_columns(revision).items():
            setattr(instance, name, value)
    before = read_rows(sender, using, [instance.pk]).get(instance.pk)
    vars(instance)[_RAW_SAVE] = (before, revision)


def after_raw_save(
    sender: type[PolicyModel], instance: PolicyModel, raw: bool, using: str, **_: Any
) -> None:
    """Record a raw save; in autocommit the row is committed, so now it can be announced."""
    if not raw:
        return
    before, revision = vars(instance).pop(_RAW_SAVE, (None, None))
    with transaction.atomic(using=using):
        instance.record_save(revision or publish(everything, using), using, before)


def before_cascade(
    sender: type[PolicyModel], instance: PolicyModel, using: str, origin: Any = None, **_: Any
) -> None:
    """Record a deletion; publish one that began at another row."""
    begun_at = origin.model if isinstance(origin, PolicyQuerySet) else type(origin)
    with transaction.atomic(using=using):
        if getattr(begun_at, "publishes", None) != sender.publishes:
            publish_once(Change(sender.publishes), using)
        pending = PendingChange.newest(using)
        if pending is None:
            return  # Its callbacks have run: a test captures them.
        # What a collector found, it has just read; what it was given may be older.
        is_fresh = origin is not None and origin is not instance
        instance.record_deletion(pending.revision, using, is_fresh=is_fresh)


def start_over(**_: Any) -> None:
    """After ``migrate`` and ``flush``."""
    committed.start_over()


def connect() -> None:
    """Connect everything; called once, when the apps are ready."""
    config = apps.get_app_config("apiguard")
    for model in config.get_models():
        if issubclass(model, PolicyModel):
            label = model._meta.label_lower
            pre_save.connect(before_raw_save, model, dispatch_uid=f"apiguard.raw.{label}")
            post_save.connect(after_raw_save, model, dispatch_uid=f"apiguard.rawed.{label}")
            pre_delete.connect(before_cascade, model, dispatch_uid=f"apiguard.cascade.{label}")
    post_migrate.connect(start_over, sender=config, dispatch_uid="apiguard.migrated")
