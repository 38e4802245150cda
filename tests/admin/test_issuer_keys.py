"""The desk of issuers: where keys come from, which are held, and who may map tokens to users."""

from __future__ import annotations

import json

import pytest

from apiguard.errors import IssuerError
from apiguard.models import JwtIssuer, PolicyState
from apiguard.policy import jwks
from apiguard.policy.jwks import sources
from tests.key_server import answer
from tests.signing import jwk_of, private_key, public_jwk

from .pages import errors_of, fill_in, url

pytestmark = pytest.mark.django_db

URL = "https://keys.example/jwks"
KEY = public_jwk("ES256", "one", use="sig")


@pytest.fixture(autouse=True)
def _nothing_held():
    sources.forget()
    yield
    sources.forget()


@pytest.fixture
def published(monkeypatch):
    says = {"keys": [KEY, public_jwk("RS256", "rsa")]}

    def fetch(*_):
        if isinstance(says["keys"], Exception):
            raise says["keys"]
        return answer(says).partition(b"\r\n\r\n")[2]

    monkeypatch.setattr(jwks, "fetch", fetch)
    return says


@pytest.fixture
def remote(issuer):
    issuer.algorithms, issuer.secret_name, issuer.jwks_url = ["ES256"], "", URL
    issuer.save()
    return issuer


@pytest.fixture
def mapped(issuer):
    issuer.user_field = "username"
    issuer.save()
    return issuer


@pytest.fixture
def editor(staff):
    return staff("view_jwtissuer", "change_jwtissuer", "add_jwtissuer", "view_tier")


def edit(browser, issuer, /, **typed):
    return fill_in(browser, url("jwtissuer_change", issuer.pk), **typed)


def page_of(browser, issuer):
    return browser.get(url("jwtissuer_change", issuer.pk)).content.decode()


# -- the source ---------------------------------------------------------------------


def test_another_source_is_chosen_and_the_former_one_is_removed(admin_client, issuer):
    response = edit(
        admin_client,
        issuer,
        key_source="jwks",
        jwks=json.dumps({"keys": [KEY]}),
        algorithms="ES256",
    )
    assert response.status_code == 302
    issuer.refresh_from_db()
    assert (issuer.secret_name, issuer.jwks, issuer.jwks_url) == ("", {"keys": [KEY]}, "")
    response = edit(admin_client, issuer, key_source="jwks_url", jwks_url=URL)
    assert response.status_code == 302
    issuer.refresh_from_db()
    assert (issuer.jwks, issuer.jwks_url) == (None, URL)


def test_without_a_choice_the_fields_decide(admin_client, issuer):
    response = edit(admin_client, issuer, secret_name="", jwks_url=URL, algorithms="ES256")
    assert response.status_code == 302


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"key_source": "jwks_url"}, "Fill this in"),
        (
            {"key_source": "jwks_url", "jwks_url": URL, "jwks": '{"keys": []}'},
            "another source is chosen",
        ),
        ({"jwks_url": URL}, "exactly one"),
        ({"key_source": "jwks", "jwks": '{"keys": [], "keys": []}'}, "duplicate_member"),
        ({"key_source": "jwks", "jwks": "{"}, "bad_json"),
        ({"key_source": "jwks", "jwks": " " * 70_000 + "{}"}, "longer than"),
        ({"key_source": "jwks", "jwks": '{"keys": []}', "algorithms": "ES256"}, "No key"),
        ({"key_source": "jwks_url", "jwks_url": "http://a.example/k"}, "another kind of key"),
    ],
)
def test_a_source_that_is_not_clear_is_reported_in_words(admin_client, issuer, typed, words):
    assert words in errors_of(edit(admin_client, issuer, **typed))


def test_a_pasted_private_key_is_refused_and_not_repeated(admin_client, issuer):
    private = jwk_of("ES256", private_key("ES256"), kid="p")
    pasted = json.dumps({"keys": [private, KEY]})
    response = edit(admin_client, issuer, key_source="jwks", jwks=pasted, algorithms="ES256")
    assert "whoever holds it can sign" in errors_of(response)
    assert private["d"] not in errors_of(response)


# -- which keys are held --------------------------------------------------------------


def test_the_keys_that_are_held_are_described(admin_client, remote, published):
    assert "None yet" in page_of(admin_client, remote)
    jwks.fetch_now(remote)
    page = page_of(admin_client, remote)
    assert "one: P-256, 256 bits, for sig" in page
    assert KEY["x"] not in page


def test_a_secret_is_described_by_name_and_length_alone(admin_client, issuer):
    assert "demo: HMAC" in page_of(admin_client, issuer)


def test_pasted_keys_are_described_with_those_that_are_not_used(admin_client, remote):
    pasted = {"keys": [KEY, public_jwk("RS256", "rsa"), {"kty": "AKP", "kid": "<b>"}]}
    JwtIssuer.objects.update(jwks_url="", jwks=pasted)
    page = page_of(admin_client, remote)
    assert "Not used: rsa (of another family), &lt;b&gt; (of another family)." in page


def test_a_broken_row_describes_nothing(admin_client, remote):
    JwtIssuer.objects.update(algorithms=256)
    assert admin_client.get(url("jwtissuer_change", remote.pk)).status_code == 200


# -- fetch now ------------------------------------------------------------------------


def fetch(browser, issuer, **options):
    return browser.post(url("jwtissuer_fetch", issuer.pk), follow=True, **options)


def test_the_button_fetches_stores_and_publishes_nothing(admin_client, remote, published):
    assert url("jwtissuer_fetch", remote.pk) in page_of(admin_client, remote)
    revision = PolicyState.objects.get().revision
    page = fetch(admin_client, remote).content.decode()
    assert "1 key was fetched. Not used: rsa (of another family)." in page
    remote.refresh_from_db()
    assert remote.fetched_jwks["keys"] == [KEY]
    assert PolicyState.objects.get().revision == revision


def test_what_goes_wrong_is_reported_in_words(admin_client, remote, published):
    published["keys"] = IssuerError("timeout", "", "keys.example did not answer within 3 s.")
    page = fetch(admin_client, remote).content.decode()
    assert "The keys could not be fetched. keys.example did not answer within 3 s." in page
    remote.refresh_from_db()
    assert remote.fetched_jwks is None


def test_there_is_no_button_without_a_url(admin_client, issuer, published):
    assert url("jwtissuer_fetch", issuer.pk) not in page_of(admin_client, issuer)
    assert "has no URL" in fetch(admin_client, issuer).content.decode()


def test_a_link_cannot_fetch(admin_client, remote):
    assert admin_client.get(url("jwtissuer_fetch", remote.pk)).status_code == 405


def test_who_may_not_change_issuers_may_not_fetch(viewer, remote, published):
    assert fetch(viewer, remote).status_code == 403
    assert url("jwtissuer_fetch", remote.pk) not in page_of(viewer, remote)


def test_who_may_change_issuers_may_fetch(editor, remote, published):
    assert "1 key was fetched" in fetch(editor, remote).content.decode()


def test_an_issuer_that_is_not_there(admin_client):
    assert admin_client.post(url("jwtissuer_fetch", 999)).status_code in (302, 404)


# -- who may map tokens to users --------------------------------------------------------


def test_a_superuser_may_map_tokens_to_users(admin_client, issuer):
    assert edit(admin_client, issuer, user_field="username").status_code == 302


def test_staff_may_not_map_tokens_to_users(editor, issuer):
    assert "Only a superuser" in errors_of(edit(editor, issuer, user_field="username"))
    issuer.refresh_from_db()
    assert issuer.user_field == ""


def test_staff_may_not_add_an_issuer_that_maps(editor):
    response = fill_in(
        editor,
        url("jwtissuer_add"),
        name="new",
        issuer="https://new.example",
        audiences="api",
        algorithms="HS256",
        secret_name="demo",
        user_field="username",
    )
    assert "Only a superuser" in errors_of(response)


@pytest.mark.parametrize(
    "typed",
    [
        {"issuer": "https://mine.example"},
        {"audiences": "mine"},
        {"algorithms": "HS384"},
        {"token_types": "at+jwt"},
        {"audience_claim": "azp"},
        {"required_claims": '{"azp": "mine"}'},
        {"leeway": "120"},
        {"max_lifetime": "60"},
        {"tier_claim": "plan"},
        {"scope_claim": "roles"},
        {"key_source": "jwks_url", "jwks_url": URL, "algorithms": "ES256"},
        {"user_field": "email"},
        {"user_field": "id"},
    ],
    ids=str,
)
def test_staff_may_not_change_who_can_sign_in_as_anybody(editor, mapped, typed):
    assert "superuser" in errors_of(edit(editor, mapped, **typed))


def test_staff_may_not_switch_a_mapped_issuer_on(editor, mapped):
    JwtIssuer.objects.update(enabled=False)
    assert "superuser" in errors_of(edit(editor, mapped, enabled="on"))


@pytest.mark.parametrize("typed", [{"enabled": None}, {"user_field": ""}, {"name": "renamed"}])
def test_staff_may_take_power_away_and_change_what_gives_none(editor, mapped, typed):
    assert edit(editor, mapped, **typed).status_code == 302
