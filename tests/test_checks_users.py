"""The check of the user model warns where its own primary keys are text."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.db import models

from apiguard.checks import users


@pytest.mark.parametrize(
    ("pk", "expected"),
    [
        pytest.param(models.BigAutoField(), [], id="a number"),
        pytest.param(models.UUIDField(), [], id="a UUID"),
        pytest.param(models.CharField(max_length=9), ["apiguard.W018"], id="text"),
        pytest.param(models.EmailField(), ["apiguard.W018"], id="an address"),
    ],
)
def test_a_text_as_primary_key_of_users_is_warned_of(pk, expected, monkeypatch):
    model = SimpleNamespace(_meta=SimpleNamespace(pk=pk))
    monkeypatch.setattr(users, "get_user_model", lambda: model)
    assert [message.id for message in users.check_user_key()] == expected
