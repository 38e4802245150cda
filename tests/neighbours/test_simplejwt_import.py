"""What import-simplejwt makes of SIMPLE_JWT accepts the tokens that the package then makes."""

from __future__ import annotations

import io
import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from rest_framework_simplejwt import settings as package
from rest_framework_simplejwt import tokens
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.tokens import RefreshToken

from apiguard.models import JwtIssuer, Limit, Tier
from tests.request.site import Call, guarded, route

pytestmark = pytest.mark.django_db

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PRIVATE = RSA_KEY.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
).decode()
PUBLIC = (
    RSA_KEY.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
TEXT_SUBJECT = {"USER_ID_CLAIM": "sub", "USER_ID_FIELD": "username"}
NAMED = {"ISSUER": "https://shop.example", "AUDIENCE": "shop"}


@pytest.fixture
def secret():
    return django_settings.APIGUARD["JWT_SECRETS"]["demo"]


@pytest.fixture
def configure(monkeypatch):
    """Set the package up as if the project's SIMPLE_JWT were this."""

    def configured(**simple_jwt):
        made = package.APISettings(simple_jwt, package.DEFAULTS, package.IMPORT_STRINGS)
        monkeypatch.setattr(package, "api_settings", made)
        monkeypatch.setattr(tokens, "api_settings", made)
        backend = TokenBackend(
            made.ALGORITHM, made.SIGNING_KEY, made.VERIFYING_KEY, made.AUDIENCE, made.ISSUER
        )
        monkeypatch.setattr(tokens.Token, "_token_backend", backend)

    return configured


def run(*arguments):
    out, status = io.StringIO(), 0
    try:
        call_command("apiguard", "import-simplejwt", "--json", *arguments, stdout=out)
    except CommandError as error:
        status = error.returncode
    return json.loads(out.getvalue()), status


def answer(token):
    rows = [*JwtIssuer.objects.all(), *Tier.objects.all(), *Limit.objects.all()]
    with guarded(route(access="credentials"), *rows):
        return Call(headers={"Authorization": f"Bearer {token}"}).wsgi()


@pytest.mark.parametrize("family", ["HS256", "RS256"])
def test_access_tokens_are_accepted_as_their_user_and_refresh_tokens_are_not(
    configure, secret, family
):
    keys = {"SIGNING_KEY": secret}
    if family == "RS256":
        keys = {"SIGNING_KEY": PRIVATE, "VERIFYING_KEY": PUBLIC}
    configure(ALGORITHM=family, **keys, **NAMED, **TEXT_SUBJECT)
    alice = get_user_model().objects.create_user("alice")
    made, status = run("--name", "demo")
    assert (status, len(made["created"]), made["settings_to_change"]) == (0, 1, [])
    refresh = RefreshToken.for_user(alice)
    good = answer(refresh.access_token)
    assert (good.status_code, good.json()["user"]) == (200, "alice")
    assert answer(refresh).status_code == 401


def test_the_defaults_of_the_package_need_settings_first(configure):
    configure()
    made, status = run()
    assert status == 1
    assert [line.partition(" = ")[0] for line in made["settings_to_change"]] == [
        'APIGUARD["JWT_SECRETS"]',
        'SIMPLE_JWT["ISSUER"]',
        'SIMPLE_JWT["AUDIENCE"]',
        'SIMPLE_JWT["USER_ID_CLAIM"]',
        'SIMPLE_JWT["USER_ID_FIELD"]',
    ]
    assert "people sign in once more" in made["notices"][0]
    assert not JwtIssuer.objects.exists()


def test_with_the_lines_that_were_printed_it_works(configure, settings):
    configure()
    made, _ = run()
    simple_jwt, guard = {"SIGNING_KEY": "s" * 40}, {}
    names = {"SIMPLE_JWT": simple_jwt, "APIGUARD": guard}
    for line in made["settings_to_change"]:
        exec(line, names)  # noqa: S102 - as somebody pastes it
    settings.APIGUARD = {**settings.APIGUARD, **guard}
    configure(**simple_jwt)
    assert run()[1] == 0
    alice = get_user_model().objects.create_user("alice")
    assert answer(RefreshToken.for_user(alice).access_token).json()["user"] == "alice"


def test_no_secret_is_printed_or_stored(configure, secret):
    configure(SIGNING_KEY=secret + "x", **NAMED, **TEXT_SUBJECT)
    made, status = run("--name", "demo")
    assert status == 1
    assert secret not in json.dumps(made)


def test_subjects_are_counted_in_the_tier_that_is_named(configure, secret):
    tier = Tier.objects.create(slug="people", name="People")
    Limit.objects.create(tier=tier, name="per-minute", amount=1, period=60)
    configure(SIGNING_KEY=secret, **NAMED, **TEXT_SUBJECT)
    run("--name", "demo", "--tier", "people")
    token = RefreshToken.for_user(get_user_model().objects.create_user("alice")).access_token
    rows = [*JwtIssuer.objects.all(), *Tier.objects.all(), *Limit.objects.all()]
    with guarded(route(access="credentials"), *rows):
        call = Call(headers={"Authorization": f"Bearer {token}"})
        assert [call.wsgi().status_code for _ in range(2)] == [200, 429]


def test_it_is_made_once_and_a_dry_run_makes_nothing(configure, secret):
    configure(SIGNING_KEY=secret, **NAMED, **TEXT_SUBJECT)
    assert len(run("--name", "demo", "--dry-run")[0]["created"]) == 1
    assert not JwtIssuer.objects.exists()
    run("--name", "demo")
    assert run("--name", "demo")[0]["created"] == []
    assert JwtIssuer.objects.count() == 1


def test_a_key_that_cannot_be_read_makes_nothing(configure):
    configure(ALGORITHM="RS256", SIGNING_KEY=PRIVATE, VERIFYING_KEY="", **NAMED, **TEXT_SUBJECT)
    with pytest.raises(CommandError, match="Nothing was imported"):
        call_command("apiguard", "import-simplejwt")
