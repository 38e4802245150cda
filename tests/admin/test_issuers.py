"""Issuers: no fetched key and no secret on any page, and hints where keys come from."""

from __future__ import annotations

import pytest

from apiguard import conf
from apiguard.admin.issuer_form import DECISIVE
from apiguard.models import JwtIssuer

from .pages import fields_of, fill_in, url


@pytest.fixture
def page(admin_client, issuer):
    JwtIssuer.objects.filter(pk=issuer.pk).update(fetched_jwks={"keys": ["a fetched key"]})
    return admin_client.get(url("jwtissuer_change", issuer.pk)).content.decode()


def test_the_names_of_secrets_are_listed_and_no_secret_is(page):
    assert "In the settings now: demo." in page
    assert not [one for one in conf.current().jwt_secrets["demo"] if one.decode() in page]


def test_fetched_keys_are_not_shown(page):
    assert "a fetched key" not in page


def test_no_public_keys_are_an_empty_field(page):
    assert fields_of(page)["jwks"] == ""


def test_two_sources_of_keys_are_refused(admin_client, issuer):
    address = url("jwtissuer_change", issuer.pk)
    response = fill_in(admin_client, address, jwks='{"keys": []}', jwks_url="https://a.example/k")
    assert response.status_code == 200
    assert response.context["adminform"].form.errors


@pytest.mark.parametrize("words", ["https://issuer.example", "HS256", "api", "Free"])
def test_the_list_says_whose_tokens_are_accepted(admin_client, issuer, words):
    assert words in admin_client.get(url("jwtissuer_changelist")).content.decode()


# A name is for people; mapping users has a rule of its own.
OTHERS = {"name", "user_field"}
WRITTEN_BY_APIGUARD = {"id", "revision", "fetched_jwks", "fetched_at"}


def test_every_field_of_an_issuer_either_decides_about_tokens_or_is_known_not_to():
    fields = {field.name for field in JwtIssuer._meta.concrete_fields} - WRITTEN_BY_APIGUARD
    assert fields == {*DECISIVE, *OTHERS}
