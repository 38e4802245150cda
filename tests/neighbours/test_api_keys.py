"""djangorestframework-api-key made the keys: after the import they work as before, and are counted.

Old and new run side by side: the package's own permission goes on accepting the same keys.
"""

from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework_api_key.models import APIKey
from rest_framework_api_key.permissions import HasAPIKey

from apiguard.models import ApiKey, Client, Limit, PolicyChange, Tier
from apiguard.telemetry.buffer import buffer
from tests.request.site import Call, guarded, route, settings_of

pytestmark = pytest.mark.django_db


def run(*arguments, **options):
    out = io.StringIO()
    try:
        call_command("apiguard", "import-api-keys", "--json", *arguments, stdout=out, **options)
    except CommandError as error:
        return json.loads(out.getvalue()), error.returncode
    return json.loads(out.getvalue()), 0


@pytest.fixture
def old():
    """A key of the package: its row and its text."""
    return APIKey.objects.create_key(name="Acme Ltd")


def call(text, scheme="Api-Key"):
    return Call(headers={"Authorization": f"{scheme} {text}"})


def answer(text, *rows, **members):
    found = [*rows, *Client.objects.all(), *ApiKey.objects.all()]
    with guarded(route(access="credentials"), *found, look_up=True, **members):
        return call(text).wsgi()


def is_accepted_by_the_package(text):
    request = RequestFactory().get("/", headers={"Authorization": f"Api-Key {text}"})
    return HasAPIKey().has_permission(request, None)


def test_a_key_works_before_between_and_after(old):
    row, text = old
    assert is_accepted_by_the_package(text)
    assert answer(text).status_code == 401
    made, status = run("--scopes", "orders:read")
    assert (status, len(made["created"])) == (0, 2)
    between = answer(text)
    assert (between.status_code, is_accepted_by_the_package(text)) == (200, True)
    guard = between.wsgi_request.apiguard
    assert (guard.client.slug, sorted(guard.scopes)) == ("acme-ltd", ["orders:read"])
    row.delete()
    assert answer(text).status_code == 200


def test_the_requests_of_an_imported_key_are_counted_in_its_tier(old):
    tier = Tier.objects.create(slug="partners", name="Partners")
    Limit.objects.create(tier=tier, name="per-minute", amount=2, period=60)
    run("--tier", "partners")
    rows = [tier, *tier.limits.all(), *Client.objects.all(), *ApiKey.objects.all()]
    with guarded(route(access="credentials"), *rows, look_up=True):
        statuses = [call(old[1]).wsgi().status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


def test_an_imported_key_costs_one_query_and_then_none(old):
    run()
    rows = [*Client.objects.all(), *ApiKey.objects.all()]
    with guarded(route(access="credentials"), *rows, look_up=True):
        counts = []
        for _ in range(3):
            with CaptureQueriesContext(connection) as queries:
                assert call(old[1]).wsgi().status_code == 200
            counts.append(len(queries))
    assert counts == [1, 0, 0]


def test_what_is_stored_is_under_the_pepper_and_moves_to_a_new_one(old):
    run()
    key = ApiKey.objects.get()
    assert (key.key_id, key.pepper_id) == (old[0].prefix, "tests")
    assert key.digest not in old[0].hashed_key
    peppers = {"new": "n" * 40, **settings_of()["KEY_PEPPERS"]}
    assert answer(old[1], KEY_PEPPERS=peppers).status_code == 200
    buffer.flush()
    key.refresh_from_db()
    assert key.pepper_id == "new"
    assert answer(old[1], KEY_PEPPERS=peppers).status_code == 200
    # Once more, from the new digest alone.
    assert answer(old[1], KEY_PEPPERS={"new": "n" * 40}).status_code == 200


@pytest.mark.parametrize("change", ["revoke", "disable", "expire", "another secret"])
def test_an_imported_key_is_refused_as_any_other(old, change):
    run()
    key, text = ApiKey.objects.get(), old[1]
    if change == "revoke":
        key.revoke("leaked")
    elif change == "disable":
        Client.objects.update(enabled=False)
    elif change == "expire":
        ApiKey.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    else:
        text = f"{text[:-1]}{'a' if text[-1] != 'a' else 'b'}"
    response = answer(text)
    assert response.status_code == 401
    assert response.json()["error"] == "invalid_api_key"


@pytest.mark.parametrize("access", ["public", "application"])
def test_elsewhere_such_a_key_stays_the_package_s(old, access):
    run()
    rows = [*Client.objects.all(), *ApiKey.objects.all()]
    with guarded(route(access=access), *rows):
        response = call("x" * 8 + "." + "y" * 32).wsgi()
        assert response.status_code == 200
        assert call(old[1]).wsgi().wsgi_request.apiguard.client is None


def test_a_dry_run_makes_nothing_and_a_second_run_nothing_twice(old):
    made, _ = run("--dry-run")
    assert made["created"] == [
        "client 'acme-ltd', not limited",
        f"key 'Acme Ltd' ({old[0].prefix}) of client 'acme-ltd'",
    ]
    assert not ApiKey.objects.exists()
    assert not Client.objects.exists()
    run()
    again, status = run()
    assert (again["created"], status) == ([], 0)
    assert again["there_already"] == [f"key 'Acme Ltd' ({old[0].prefix}): there already"]
    assert ApiKey.objects.count() == 1


def test_what_cannot_be_carried_over_is_reported(old):
    past = timezone.now() - timedelta(days=1)
    APIKey.objects.create_key(name="Gone", revoked=True)
    APIKey.objects.create_key(name="Late", expiry_date=past)
    older, _ = APIKey.objects.create_key(name="Older")
    APIKey.objects.filter(pk=older.pk).update(hashed_key="pbkdf2_sha256$1$s$h")
    made, status = run()
    assert status == 1
    reasons = {line.split("'")[1]: line.rpartition(": ")[2] for line in made["refused"]}
    assert reasons == {
        "Gone": "revoked",
        "Late": "expired",
        "Older": "hashed by an older release of the package; use it once there and import again",
    }
    assert ApiKey.objects.get().name == "Acme Ltd"


def test_the_end_of_a_key_comes_along_and_the_history_says_where_it_is_from():
    end = timezone.now() + timedelta(days=9)
    row, _ = APIKey.objects.create_key(name="Nine days", expiry_date=end)
    run()
    key = ApiKey.objects.get()
    assert (key.expires_at, key.created_at) == (end, row.created)
    reasons = set(PolicyChange.objects.values_list("reason", flat=True))
    assert reasons == {"Imported from djangorestframework-api-key."}


def test_a_model_that_has_no_such_keys_is_refused():
    with pytest.raises(CommandError, match=r"auth\.User.*no field named 'prefix'") as caught:
        call_command("apiguard", "import-api-keys", "--model", "auth.User")
    assert caught.value.returncode in (1, 2)


def test_a_model_of_an_app_that_is_not_installed_is_refused_with_what_to_do():
    with pytest.raises(CommandError, match=r"label 'nowhere'\. Add the package to INSTALLED_APPS"):
        call_command("apiguard", "import-api-keys", "--model", "nowhere.Key")


def test_names_that_come_to_one_slug_are_different_clients():
    for name in ("Acme Ltd", "acme, ltd", "Acme Ltd"):
        APIKey.objects.create_key(name=name)
    run()
    assert {(key.name, key.client.name) for key in ApiKey.objects.all()} == {
        ("Acme Ltd", "Acme Ltd"),
        ("acme, ltd", "acme, ltd"),
    }
    assert Client.objects.filter(name="Acme Ltd").get().keys.count() == 2


def test_an_imported_key_never_acts_as_a_user(old, admin_user):
    Client.objects.create(slug="acme-ltd", name="Acme Ltd", owner=admin_user, acts_as_owner=True)
    made, status = run()
    assert status == 1
    assert "acts as its owner" in made["refused"][0]
    assert not ApiKey.objects.exists()


def test_a_client_of_another_name_gets_no_imported_key(old):
    Client.objects.create(slug="acme-ltd", name="Acme's own gateway")
    run()
    assert ApiKey.objects.get().client.name == "Acme Ltd"
