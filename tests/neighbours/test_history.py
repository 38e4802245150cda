"""Packages that keep the history of rows: who is in it when a key makes the change."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from django.core import checks as django_checks
from django.test import override_settings

from apiguard import checks
from tests.fresh_project import CHECKOUT
from tests.neighbours.history_site import recipes

PATHS = {"simple_history": "note", "reversion": "page", "auditlog": "entry"}


@pytest.fixture(scope="module")
def written():
    """What ``history_site.run`` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.neighbours.history_site.run"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def entries(written, package, way, caller):
    """Status, user and the caller's name in the history, of a plain view and one of DRF."""
    paths = (f"/api/{PATHS[package]}", f"/api/drf/{PATHS[package]}")
    plain, drf = (written[f"{package} / {way} / {caller} / {path}"] for path in paths)
    assert plain == drf
    return plain


@pytest.mark.parametrize("package", PATHS)
def test_with_the_recipe_a_key_is_named_in_the_history(written, package):
    assert entries(written, package, "recipe", "client") == [201, None, "client:1"]


@pytest.mark.parametrize("package", PATHS)
def test_a_client_that_acts_as_its_owner_is_that_user_in_the_history(written, package):
    assert entries(written, package, "recipe", "owner")[:2] == [201, "olga"]


@pytest.mark.parametrize(
    ("package", "client", "owner"),
    [
        ("simple_history", [500, None], [201, "olga"]),
        ("reversion", [500, None], [201, "olga"]),
        ("auditlog", [201, None], [201, None]),
    ],
)
def test_the_recipe_is_needed(written, package, client, owner):
    assert entries(written, package, "without", "client")[:2] == client
    assert entries(written, package, "without", "owner")[:2] == owner


@pytest.mark.parametrize(
    ("middleware", "name"),
    [
        ("simple_history.middleware.HistoryRequestMiddleware", "django-simple-history"),
        ("reversion.middleware.RevisionMiddleware", "django-reversion"),
        ("auditlog.middleware.AuditlogMiddleware", "django-auditlog"),
    ],
)
def test_the_check_names_the_package_until_its_middleware_is_replaced(middleware, name):
    with override_settings(MIDDLEWARE=[middleware]):
        (message,) = checks.check_history()
    assert (message.id, message.level) == ("apiguard.W020", django_checks.WARNING)
    assert message.msg.startswith(name)
    assert "docs/neighbours.md" in message.hint
    with override_settings(MIDDLEWARE=[f"{recipes.__name__}.{middleware.rsplit('.')[-1]}"]):
        assert checks.check_history() == []
