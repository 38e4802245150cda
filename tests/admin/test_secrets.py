"""A key's text leaves in one response, and is nowhere afterwards, however it was made."""

from __future__ import annotations

import base64
import json
import re
from hashlib import sha256

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import override_settings

from apiguard.models import ApiKey, PolicyChange
from apiguard.rules.keys import parse, pattern
from tests.management.conftest import apiguard

from .pages import everything_stored, fill_in, url

TEXT = re.compile(pattern("ag"))


def by_form(browser, acme, key):
    return fill_in(browser, url("apikey_add"), client=acme.pk, name="new", scopes="a:b")


def by_planned_rotation(browser, acme, key):
    typed = {"how": "planned", "reason": "yearly"}
    return fill_in(browser, url("apikey_rotate", key.pk), **typed)


def by_leaked_rotation(browser, acme, key):
    typed = {"how": "leaked", "reason": "found in a log"}
    return fill_in(browser, url("apikey_rotate", key.pk), **typed)


def spellings(text):
    """The key, its secret, and what else would give it away."""
    secret = parse(text, "ag").secret
    return {
        text,
        secret,
        secret[:12],
        base64.b64encode(text.encode()).decode().rstrip("=")[:-2],
        text.encode().hex(),
        # Anybody may try a plain hash on a list of guesses; what is kept has a pepper in it.
        sha256(text.encode()).hexdigest(),
    }


SESSIONS = ("db", "signed_cookies", "cached_db")


@pytest.mark.parametrize("engine", SESSIONS)
@pytest.mark.parametrize("made", [by_form, by_planned_rotation, by_leaked_rotation])
def test_nothing_but_the_response_knows_the_key(
    admin_client, admin_user, acme, key, caplog, made, engine
):
    for logger in ("", "django", "django.db.backends", "apiguard"):
        caplog.set_level("DEBUG", logger=logger)
    connection.force_debug_cursor = True  # Every statement is logged, with its parameters.
    store = f"django.contrib.sessions.backends.{engine}"
    try:
        with override_settings(SESSION_ENGINE=store):
            admin_client.force_login(admin_user)
            response = made(admin_client, acme, key)
            later = [
                admin_client.get(url("apikey_changelist")),
                *(admin_client.get(url("apikey_change", row.pk)) for row in ApiKey.objects.all()),
                *(admin_client.get(url("apikey_history", row.pk)) for row in ApiKey.objects.all()),
                admin_client.get(url("policychange_changelist")),
                admin_client.get("/admin/"),
            ]
            session = json.dumps(dict(admin_client.session))
    finally:
        connection.force_debug_cursor = False
    (text,) = set(TEXT.findall(response.content.decode()))
    new = ApiKey.objects.order_by("-pk").first()
    assert LogEntry.objects.filter(object_id=new.pk).exists()
    assert PolicyChange.objects.filter(object_pk=new.pk, model="apiguard.apikey").exists()
    assert parse(text, "ag").key_id == new.key_id
    logged = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert new.digest in logged  # The log is what it should be: statements are in it.
    places = {
        "tables": everything_stored(),
        "session": session,
        "cookies": str(admin_client.cookies),
        "headers": str(response.headers),
        "logs": logged,
        "history": str(list(PolicyChange.objects.values()) + list(LogEntry.objects.values())),
        "later pages": "".join(page.content.decode() for page in later),
    }
    found = {
        (place, spelling)
        for place, content in places.items()
        for spelling in spellings(text)
        if spelling in content
    }
    assert found == set()
    assert new.digest not in places["history"] + places["later pages"] + places["session"]


def test_a_key_made_on_the_command_line_is_on_standard_output_alone(acme, caplog):
    caplog.set_level(0)
    said = apiguard("key", "create", "acme", "--name", "ci")
    again = apiguard("key", "rotate", ApiKey.objects.get().key_id, "--now", "--reason", "yearly")
    for one in (said, again):
        (text,) = TEXT.findall(one.out)
        for spelling in spellings(text):
            assert spelling not in one.err + caplog.text + everything_stored()
