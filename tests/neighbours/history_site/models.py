"""One model for each package."""

from __future__ import annotations

import reversion
from auditlog.registry import auditlog
from django.db import models
from simple_history.models import HistoricalRecords


class Note(models.Model):
    """Kept by django-simple-history."""

    text = models.TextField()
    history = HistoricalRecords()


@reversion.register()
class Page(models.Model):
    """Kept by django-reversion."""

    text = models.TextField()


class Entry(models.Model):
    """Kept by django-auditlog."""

    text = models.TextField()


auditlog.register(Entry)
