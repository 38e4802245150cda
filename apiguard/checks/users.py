"""A check of the project's user model."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core import checks
from django.db import models


def check_user_key(**_: Any) -> list[checks.CheckMessage]:
    """W018 the primary key of the user model is text, as that of callers without a row is."""
    pk = get_user_model()._meta.pk
    if not isinstance(pk, models.CharField | models.TextField):
        return []
    return [
        checks.Warning(
            "The primary key of the user model is text. Callers without a user row have a text "
            "as primary key too, such as 'client:7' or 'jwt:1:alice'.",
            hint="Let no user have a primary key that begins 'client:' or 'jwt:', or views that "
            "look rows up by request.user.pk may find another caller's.",
            id="apiguard.W018",
        )
    ]
