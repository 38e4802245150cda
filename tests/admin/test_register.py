"""Where the screens are: the default site, a site of one's own, or nowhere."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from .pages import fields_of
from .test_base import ALL_SCREENS

PROJECT = """
import django
from django.conf import settings
settings.configure(SECRET_KEY="x" * 50, USE_TZ=True, INSTALLED_APPS={apps}, APIGUARD={apiguard},
                   DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3"}}}})
django.setup()
import apiguard.admin
{ask}
"""
STOCK = ["django.contrib.contenttypes", "django.contrib.auth", "apiguard"]
ADMIN = ["django.contrib.admin", "django.contrib.messages", "django.contrib.sessions"]
REGISTERED = """
from django.contrib.admin import site
from apiguard.models import Route
print(site.is_registered(Route))
"""


@pytest.mark.parametrize(
    ("apps", "apiguard", "ask", "answer"),
    [
        pytest.param(STOCK, {}, "print('fine')", "fine", id="no admin"),
        pytest.param([*ADMIN, *STOCK], {}, REGISTERED, "True", id="the default site"),
        pytest.param([*ADMIN, *STOCK], {"ADMIN": False}, REGISTERED, "False", id="switched off"),
    ],
)
def test_screens_are_on_the_default_site_where_there_is_one(apps, apiguard, ask, answer):
    source = PROJECT.format(apps=apps, apiguard=apiguard, ask=ask)
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", source],
        capture_output=True,
        text=True,
        env={**environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
        timeout=60,
    )
    assert (done.stdout.strip(), done.returncode) == (answer, 0), done.stderr


@pytest.fixture
def _own_site(settings):
    settings.ROOT_URLCONF = "tests.admin.own_site"


@pytest.mark.usefixtures("_own_site")
@pytest.mark.parametrize("page", [*(f"{screen}/" for screen in ALL_SCREENS), "overview/", ""])
def test_every_page_of_an_own_site_stays_on_it(admin_client, policy, page):
    shown = admin_client.get(f"/desk/apiguard/{page}")
    assert shown.status_code == 200
    assert 'href="/admin/' not in shown.content.decode()


@pytest.mark.usefixtures("_own_site")
def test_a_key_is_made_and_revoked_on_an_own_site(admin_client, acme, key):
    page = admin_client.get("/desk/apiguard/apikey/add/")
    data = {**fields_of(page.content.decode()), "client": acme.pk, "name": "laptop"}
    for status in (200, 409):
        made = admin_client.post("/desk/apiguard/apikey/add/", data)
        assert made.status_code == status
        assert 'href="/desk/apiguard/apikey/' in made.content.decode()
        assert 'href="/admin/' not in made.content.decode()
    revoke = f"/desk/apiguard/apikey/{key.pk}/revoke/"
    assert revoke in admin_client.get(f"/desk/apiguard/apikey/{key.pk}/change/").content.decode()
    done = admin_client.post(revoke, {"reason": "moved"})
    assert done["Location"].startswith("/desk/")


@pytest.mark.usefixtures("_own_site")
def test_the_baseline_is_written_on_an_own_site(admin_client, db):
    assert admin_client.post("/desk/apiguard/overview/")["Location"] == "/desk/apiguard/overview/"
