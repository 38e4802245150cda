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
from django.db import connections, models, transaction
from django.db.models.signals import post_migrate, post_save, pre_delete, pre_save

from .models import PolicyModel, PolicyQuerySet
from .models.state import Change, committed, everything, publish, publish_once


def before_raw_save(
    sender: type[PolicyModel], instance: PolicyModel, raw: bool, using: str, **_: Any
) -> None:
    """``loaddata``, whose transaction is open: the revision first, as always."""
    if raw and connections[using].in_atomic_block:
        revision = publish_once(sender.change_by_insert((), is_upsert=True), using)
        for name, value in sender.stamp(revision).items():
            setattr(instance, name, value)


def after_raw_save(sender: type[models.Model], raw: bool, using: str, **_: Any) -> None:
    """A raw save in autocommit: the row is committed, so now it can be announced."""
    if raw and not connections[using].in_atomic_block:
        with transaction.atomic(using=using):
            publish(everything, using)


def before_cascade(
    sender: type[PolicyModel], instance: PolicyModel, using: str, origin: Any = None, **_: Any
) -> None:
    """Publish and record a deletion that began at another row."""
    begun_at = origin.model if isinstance(origin, PolicyQuerySet) else type(origin)
    if getattr(begun_at, "publishes", None) != sender.publishes:
        with transaction.atomic(using=using):
            publish_once(Change(sender.publishes), using)
    if begun_at is not sender:
        instance.record_deletion(using)


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
