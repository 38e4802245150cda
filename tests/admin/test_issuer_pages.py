"""Filling an issuer's form in from its provider, and trying a token, over a real https server."""

from __future__ import annotations

import logging
import time

import pytest
from django.utils.html import escape
from django.views.debug import ExceptionReporter

from apiguard import conf
from apiguard.admin.token_problems import PROBLEM_WORDS
from apiguard.models import JwtIssuer, PolicyState
from apiguard.policy.jwks import sources
from apiguard.rules.jwt import TokenProblem
from tests.key_server import answer, key_server
from tests.neighbours.identity_providers import published_keys
from tests.signing import SECRET, sign

from .pages import confirmed, errors_of, everything_stored, fields_of, fill_in, url

pytestmark = pytest.mark.django_db

WELL_KNOWN = "/.well-known/openid-configuration"


@pytest.fixture(autouse=True)
def _nothing_held():
    sources.forget()
    yield
    sources.forget()


@pytest.fixture
def provider(tmp_path, settings):
    """A provider on loopback; ``documents`` is what it publishes, by path."""
    with key_server(tmp_path) as server:
        allowed = {"JWKS_ALLOWED_NETWORKS": ["127.0.0.0/8"], "JWKS_CA_FILE": server.ca_file}
        settings.APIGUARD = {**settings.APIGUARD, **allowed}
        base = server.url("localhost", "/realms/acme")
        documents = {
            "/realms/acme" + WELL_KNOWN: {
                "issuer": base,
                "jwks_uri": base + "/certs",
                "id_token_signing_alg_values_supported": ["HS256", "RS256", "ES256"],
            },
            "/realms/acme/certs": published_keys(),
        }

        def behave(connection, server):
            path = server.requests[-1].split(" ")[1]
            found = documents.get(path)
            connection.sendall(answer(found) if found else answer(status="404 Not Found"))

        server.behaviour = behave
        server.documents = documents
        server.issuer = base
        yield server


def claims_of(issuer, **more):
    now = int(time.time())
    times = {"iat": now, "exp": now + 300}
    return {"iss": issuer, "aud": ["orders", f"{issuer}/userinfo"], "sub": "alice", **times, **more}


def example(issuer, **more):
    return sign({"alg": "RS256", "kid": "k1"}, claims_of(issuer, **more), "RS256")


def discover(browser, **typed):
    response = browser.post(url("jwtissuer_discover"), typed)
    assert response.status_code == 200
    return response.content.decode()


# -- from the provider ------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_form_is_filled_in_from_the_url_and_saving_it_fetches_the_keys(admin_client, provider):
    assert url("jwtissuer_discover") in admin_client.get(url("jwtissuer_add")).content.decode()
    page = discover(admin_client, provider_url=provider.issuer + "/")
    fields = fields_of(page)
    assert (fields["issuer"], fields["jwks_url"]) == (provider.issuer, provider.issuer + "/certs")
    assert (fields["algorithms"], fields["key_source"]) == ("RS256", "jwks_url")
    assert "1 key" in page
    assert not JwtIssuer.objects.exists()
    assert f'action="{url("jwtissuer_add")}"' in page

    fields |= {"name": "acme", "audiences": "orders"}
    page = admin_client.post(url("jwtissuer_add"), fields)
    saved = confirmed(admin_client, url("jwtissuer_add"), fields, page)
    assert saved.status_code == 302
    row = JwtIssuer.objects.get()
    assert [key["kid"] for key in row.fetched_jwks["keys"]] == ["k1"]
    listed = admin_client.get(url("jwtissuer_changelist")).content.decode()
    assert "1 key was fetched." in listed
    assert "Held now: k1: RSA, 2048 bits, for signatures." in listed


def test_an_example_token_suggests_the_rest(admin_client, provider):
    text = example(provider.issuer, typ="Bearer", tid="t1", realm_access={"roles": ["read"]})
    page = discover(admin_client, example_token=text)
    fields = fields_of(page)
    assert fields["issuer"] == provider.issuer
    assert fields["audiences"] == "orders"
    assert '"typ": "Bearer"' in fields["required_claims"]
    assert '"tid": "t1"' in fields["required_claims"]
    assert fields["scope_claim"] == "realm_access.roles"
    assert fields["algorithms"] == "RS256"


def test_an_example_with_an_hmac_needs_no_provider(admin_client):
    page = discover(admin_client, example_token=hmac_token())
    fields = fields_of(page)
    assert (fields["algorithms"], fields["key_source"]) == ("HS256", "secret_name")
    assert (fields["issuer"], fields["audiences"]) == ("https://issuer.example", "api")
    assert "Nothing was filled in" not in page


def test_an_issuer_that_calls_itself_otherwise_is_pointed_out(admin_client, provider):
    provider.documents["/realms/acme" + WELL_KNOWN]["issuer"] = "https://sts.example/acme/"
    page = discover(admin_client, provider_url=provider.issuer)
    assert fields_of(page)["issuer"] == "https://sts.example/acme/"
    assert "calls itself https://sts.example/acme/" in page


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({}, "Write the URL of an issuer"),
        ({"provider_url": "http://id.example"}, "Nothing was filled in"),
        ({"provider_url": "https://169.254.169.254/latest"}, "not on the public internet"),
        ({"example_token": "v1.opaque"}, "no JSON Web Token"),
    ],
)
def test_what_cannot_be_read_is_reported_above_an_empty_form(admin_client, typed, words):
    page = discover(admin_client, **typed)
    assert words in page
    assert fields_of(page)["issuer"] == ""


def test_a_provider_without_a_document_says_so(admin_client, provider):
    provider.documents.clear()
    assert "answers 404" in discover(admin_client, provider_url=provider.issuer)


def test_discovering_is_for_those_who_may_add_issuers_and_by_post(viewer, admin_client, provider):
    typed = {"provider_url": provider.issuer}
    assert viewer.post(url("jwtissuer_discover"), typed).status_code == 403
    assert admin_client.get(url("jwtissuer_discover")).status_code == 405
    assert provider.requests == []


@pytest.mark.django_db(transaction=True)
def test_keys_that_cannot_be_fetched_do_not_keep_a_row_from_being_saved(
    admin_client, issuer, provider
):
    typed = {"key_source": "jwks_url", "jwks_url": provider.issuer + "/gone", "algorithms": "RS256"}
    response = fill_in(admin_client, url("jwtissuer_change", issuer.pk), **typed)
    assert response.status_code == 302
    page = admin_client.get(url("jwtissuer_change", issuer.pk)).content.decode()
    assert "The keys could not be fetched." in page


def test_what_says_nothing_of_keys_fetches_nothing(
    admin_client, issuer, provider, django_capture_on_commit_callbacks
):
    JwtIssuer.objects.update(
        secret_name="", jwks_url=provider.issuer + "/certs", algorithms=["RS256"]
    )
    with django_capture_on_commit_callbacks(execute=True):
        fill_in(admin_client, url("jwtissuer_change", issuer.pk), name="renamed")
    assert provider.requests == []


# -- try a token --------------------------------------------------------------------------


def hmac_token(**changed):
    claims = {**claims_of("https://issuer.example"), "aud": "api", **changed}
    return sign({"alg": "HS256"}, claims, "HS256", conf.current().jwt_secrets["demo"][0])


def try_token(browser, issuer, text):
    response = browser.post(url("jwtissuer_try", issuer.pk), {"token": text})
    return response, response.content.decode()


def test_a_good_token_is_accepted_claim_by_claim(admin_client, issuer):
    page = admin_client.get(url("jwtissuer_change", issuer.pk)).content.decode()
    assert url("jwtissuer_try", issuer.pk) in page
    _, page = try_token(admin_client, issuer, hmac_token(scope="orders:read"))
    assert "This token is accepted" in page
    assert "<code>orders:read</code>" in page
    assert 'apiguard-badge apiguard-bad"' not in page


def test_everything_that_does_not_hold_is_named(admin_client, issuer):
    text = hmac_token(aud="payments", exp=1, token_use="id")
    _, page = try_token(admin_client, issuer, text)
    assert "This token is refused" in page
    for problem in ("WRONG_AUDIENCE", "EXPIRED", "NOT_AN_ACCESS_TOKEN"):
        assert str(escape(PROBLEM_WORDS[TokenProblem[problem]])) in page
    assert "1970-01-01 00:00:01 UTC" in page
    assert str(escape(PROBLEM_WORDS[TokenProblem.BAD_SIGNATURE])) not in page


def test_claims_of_a_forged_token_are_not_vouched_for(admin_client, issuer):
    forged = sign({"alg": "HS256"}, claims_of("https://issuer.example"), "HS256", SECRET.encode())
    _, page = try_token(admin_client, issuer, forged)
    assert "anybody may have written these claims" in page


def test_a_disabled_issuer_and_a_broken_row_are_named(admin_client, issuer):
    JwtIssuer.objects.update(enabled=False)
    assert "the issuer is not enabled" in try_token(admin_client, issuer, hmac_token())[1]
    JwtIssuer.objects.update(audiences=[])
    assert "This issuer accepts no token" in try_token(admin_client, issuer, hmac_token())[1]


def test_required_claims_are_suggested(admin_client, issuer):
    _, page = try_token(admin_client, issuer, hmac_token(token_type="access", tid="t1"))
    assert "&quot;token_type&quot;: &quot;access&quot;" in page
    JwtIssuer.objects.update(required_claims={"token_type": "access", "tid": "t1"})
    _, page = try_token(admin_client, issuer, hmac_token(token_type="access", tid="t1"))
    assert "could be:" not in page


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "\u00e9" * 100, "a" * 20_000, "a.b.c\x00"])
def test_no_text_breaks_the_page(admin_client, issuer, text):
    assert try_token(admin_client, issuer, text)[0].status_code == 200


def test_a_tried_token_is_neither_stored_nor_logged_nor_repeated(admin_client, issuer, caplog):
    before = PolicyState.objects.get().revision
    text = hmac_token(exp=1)
    with caplog.at_level(logging.DEBUG):
        response, page = try_token(admin_client, issuer, text)
        again = discover(admin_client, example_token=text)
    for part in text.split("."):
        for said in (page, again, caplog.text, everything_stored(), str(response.headers)):
            assert part not in said
    assert response.headers["Cache-Control"].startswith("no-store")
    assert PolicyState.objects.get().revision == before


@pytest.mark.parametrize("name", ["explain_token", "issuer_policy", "parse", "suggest_fields"])
def test_no_report_of_a_defect_holds_the_token(admin_client, issuer, monkeypatch, caplog, name):
    def defect(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(f"apiguard.admin.issuer_pages.{name}", defect)
    admin_client.raise_request_exception = False
    text = hmac_token()
    try_token(admin_client, issuer, text)
    admin_client.post(url("jwtissuer_discover"), {"example_token": text})
    (record,) = (record for record in caplog.records if record.exc_info)
    report = ExceptionReporter(record.request, *record.exc_info).get_traceback_html()
    assert "ZeroDivisionError" in report
    assert not [part for part in text.split(".") if part in report]


def test_trying_is_for_those_who_may_change_issuers(viewer, admin_client, issuer):
    assert try_token(viewer, issuer, hmac_token())[0].status_code == 403
    assert viewer.get(url("jwtissuer_try", issuer.pk)).status_code == 403
    assert url("jwtissuer_try", issuer.pk) not in (
        viewer.get(url("jwtissuer_change", issuer.pk)).content.decode()
    )
    assert admin_client.get(url("jwtissuer_try", 999)).status_code == 404


def test_every_reason_has_words():
    assert set(PROBLEM_WORDS) == set(TokenProblem)


@pytest.mark.parametrize("page", ["add/", "{pk}/try/"])
def test_the_pages_work_on_a_site_of_ones_own(admin_client, issuer, settings, page):
    settings.ROOT_URLCONF = "tests.admin.own_site"
    address = "/desk/apiguard/jwtissuer/" + page.format(pk=issuer.pk)
    found = admin_client.get(address).content.decode()
    assert 'href="/admin/' not in found
    sent = admin_client.post(f"/desk/apiguard/jwtissuer/{issuer.pk}/try/", {"token": hmac_token()})
    assert "This token is accepted" in sent.content.decode()
    sent = admin_client.post(
        "/desk/apiguard/jwtissuer/discover/", {"example_token": hmac_token(iss="x")}
    )
    assert 'action="/desk/apiguard/jwtissuer/add/"' in sent.content.decode()


def test_required_claims_that_are_no_object_are_refused_at_the_field(admin_client, issuer):
    address = url("jwtissuer_change", issuer.pk)
    for text in ('["token_use"]', '{"a": null}', '{"a": {"b": 1}}'):
        response = fill_in(admin_client, address, required_claims=text)
        assert "required_claims" in errors_of(response)
    assert fill_in(admin_client, address, required_claims='{"a": ["b", 1]}').status_code == 302
    assert JwtIssuer.objects.get().required_claims == {"a": ["b", 1]}
