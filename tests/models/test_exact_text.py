"""Text that only resembles another text is another one, in every database."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from apiguard.models import (
    AllowedOrigin,
    ApiKey,
    Client,
    CorsPolicy,
    HeaderPolicy,
    JwtIssuer,
    Refusal,
    Route,
    Tier,
)

RESEMBLING = ("API", "api", "api ", "äpi", "api\N{ZERO WIDTH SPACE}")

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("model", "field", "others"),
    [
        (Route, "name", lambda number: {"path_prefix": f"/{number}/"}),
        (CorsPolicy, "name", lambda number: {}),
        (HeaderPolicy, "name", lambda number: {}),
        (JwtIssuer, "issuer", lambda number: {"name": str(number)}),
        (Tier, "slug", lambda number: {"name": "T"}),
        (Client, "slug", lambda number: {"name": "C"}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_rows_whose_texts_resemble_each_other_are_kept_apart(model, field, others):
    for number, text in enumerate(RESEMBLING):
        model.objects.create(**{field: text}, **others(number))
    for text in RESEMBLING:
        assert getattr(model.objects.get(**{field: text}), field) == text
    with pytest.raises(IntegrityError), transaction.atomic():
        model.objects.create(**{field: "api"}, **others(len(RESEMBLING)))


def test_a_key_is_found_by_its_own_id_alone():
    key, _secret = ApiKey.objects.issue(Client.objects.create(slug="acme", name="Acme"), "k")
    ApiKey.objects.filter(pk=key.pk).update(key_id="abcdEFGH1234")
    assert ApiKey.objects.filter(key_id="abcdEFGH1234").exists()
    assert not ApiKey.objects.filter(key_id="ABCDefgh1234").exists()


def test_path_prefixes_and_origins_differ_by_case():
    Route.objects.create(name="lower", path_prefix="/api/")
    Route.objects.create(name="upper", path_prefix="/API/")
    assert Route.objects.get(path_prefix="/API/").name == "upper"
    policy = CorsPolicy.objects.create(name="apps")
    AllowedOrigin.objects.create(policy=policy, pattern="https://app.example.com")
    assert not AllowedOrigin.objects.filter(pattern="https://APP.example.com").exists()


def test_people_find_what_they_write_in_another_case():
    Client.objects.create(slug="acme", name="Acme 100% Ltd")
    Refusal.objects.create(
        at=timezone.now(),
        request_id="Req-1",
        path="/api/Orders",
        status=403,
        enforced=True,
        is_identified=False,
        revision=1,
    )
    for text in ("ACME", "acme", "100% l"):
        assert Client.objects.filter(name__icontains=text).exists(), text
    assert not Client.objects.filter(name__icontains="acme%ltd").exists()
    assert Refusal.objects.filter(path__icontains="orders").exists()


def inexact_columns():
    """Columns of apiguard in MariaDB that take resembling texts for equal; elsewhere none do."""
    if connection.vendor != "mysql":
        return ()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns "
            "WHERE table_schema = DATABASE() AND table_name LIKE 'apiguard%%' "
            "AND collation_name NOT LIKE '%%_bin'"
        )
        return cursor.fetchall()


def test_no_column_of_text_was_forgotten():
    assert inexact_columns() == ()
