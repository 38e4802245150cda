"""Identity providers as they are: the shapes of their tokens and key sets, made here.

Each provider is one or two rows of issuers, a key set with the noise that the
provider publishes, a token that has to be accepted, and the nearest tokens that
must not be: its refresh token, its ID token, a token for another API, one of
another tenant. ``python -m tests.neighbours.identity_providers`` prints the table.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tests.signing import jwk_of, public_jwk, rsa_key, sign

TENANT, OTHER_TENANT = (
    "0f8fad5b-d9cb-469f-a165-70867728950e",
    "7c9e6679-7425-40de-944b-e07fc1f90ae7",
)
SECRETS: dict[str, list[str]] = {"supabase": ["supabase-secret-" * 3, "the-one-before-it-" * 3]}


@dataclass(frozen=True, slots=True)
class Provider:
    """``row`` are fields of the issuer's row; ``refused`` are changes of the good token.

    A change is a pair of the expected problem and the claims that differ;
    ``None`` leaves a claim out. A string in place of claims is a whole token.
    """

    name: str
    row: dict[str, Any]
    claims: dict[str, Any]
    refused: dict[str, tuple[str, dict[str, Any] | str]]
    header: dict[str, Any] = field(default_factory=dict)
    scopes: tuple[str, ...] = ()

    def token(self, claims: dict[str, Any] | None = None) -> str:
        """Sign the good token, with these claims changed."""
        now = int(time.time())
        given = {"sub": "user-1", "iat": now, "exp": now + 600, **self.claims, **(claims or {})}
        present = {name: value for name, value in given.items() if value is not None}
        algorithm = self.row["algorithms"][0]
        key = SECRETS[self.row["secret_name"]][0].encode() if algorithm == "HS256" else None
        return sign({"alg": algorithm, "kid": "k1", **self.header}, present, algorithm, key)

    def refused_tokens(self) -> Iterator[tuple[str, str, str]]:
        """Yield what each of the nearest tokens is, the expected problem, and the token."""
        for what, (problem, change) in self.refused.items():
            yield what, problem, change if isinstance(change, str) else self.token(change)


OPAQUE = ("not_three_segments", "v1.MjAyNi1vcGFxdWUtcmVmcmVzaC10b2tlbg")


@cache
def published_keys() -> dict[str, Any]:
    """A set with what sets really have: certificates, encryption keys, a shared kid, nulls."""
    signing = public_jwk("RS256", "k1", use="sig", alg="RS256", x5c=["MIIB"], x5t="AAAA")
    encryption = jwk_of("RS256", rsa_key(2048, 7).public_key(), kid="k1", use="enc", alg="RSA-OAEP")
    elliptic = public_jwk("ES256", "k1", use="sig", alg="ES256")
    noisy = {**signing, "n": signing["n"] + "==", "key_ops": None, "issuer": "https://sts.example"}
    return {"keys": [encryption, noisy, elliptic, {"kty": "OKP", "crv": "X25519", "kid": "k2"}]}


def _rsa(**fields: Any) -> dict[str, Any]:
    return {"algorithms": ["RS256"], "jwks": published_keys(), **fields}


def _google(name: str, iss: str) -> Provider:
    client = "1234567890-abc.apps.googleusercontent.com"
    return Provider(
        name,
        _rsa(issuer=iss, audiences=[client], required_claims={"hd": "acme.example"}),
        {"iss": iss, "aud": client, "azp": client, "hd": "acme.example", "email_verified": True},
        {
            "refresh token": OPAQUE,
            "token for another client": (
                "wrong_audience",
                {"aud": "999.apps.googleusercontent.com"},
            ),
            "account of another domain": ("wrong_claim", {"hd": "evil.example"}),
            "private account (no hd)": ("missing_claim", {"hd": None}),
            "another spelling of iss": ("unknown_issuer", {"iss": "http://accounts.google.com"}),
        },
        {"typ": "JWT"},
    )


def providers() -> tuple[Provider, ...]:
    """Return every provider of the table."""
    return (
        Provider(
            "Auth0",
            _rsa(
                issuer="https://acme.eu.auth0.example/",
                audiences=["https://api.acme.example"],
                scope_claim="permissions",
                required_claims={"org_id": "org_acme"},
            ),
            {
                "iss": "https://acme.eu.auth0.example/",
                "aud": ["https://api.acme.example", "https://acme.eu.auth0.example/userinfo"],
                "azp": "spa-client",
                "scope": "openid profile",
                "permissions": ["orders:read", "orders:write"],
                "org_id": "org_acme",
            },
            {
                "refresh token": OPAQUE,
                "ID token": ("wrong_audience", {"aud": "spa-client", "nonce": "n"}),
                "token for another API": ("wrong_audience", {"aud": "https://other.example"}),
                "another organization": ("wrong_claim", {"org_id": "org_evil"}),
                "another tenant": ("unknown_issuer", {"iss": "https://evil.eu.auth0.example/"}),
            },
            {"typ": "at+jwt"},
            ("orders:read", "orders:write"),
        ),
        Provider(
            "Okta",
            _rsa(
                issuer="https://acme.okta.example/oauth2/default",
                audiences=["api://default"],
                scope_claim="scp",
            ),
            {
                "iss": "https://acme.okta.example/oauth2/default",
                "aud": "api://default",
                "cid": "0oa1client",
                "uid": "00u1",
                "ver": 1,
                "scp": ["orders:read"],
            },
            {
                "refresh token": OPAQUE,
                "ID token": ("wrong_audience", {"aud": "0oa1client", "at_hash": "h"}),
                "token for another API": ("wrong_audience", {"aud": "api://payments"}),
                "token of the org server": ("unknown_issuer", {"iss": "https://acme.okta.example"}),
            },
            {},
            ("orders:read",),
        ),
        Provider(
            "Entra ID v1",
            _rsa(
                issuer=f"https://sts.windows.net/{TENANT}/",
                audiences=["api://orders"],
                scope_claim="scp",
                required_claims={"tid": TENANT},
            ),
            {
                "iss": f"https://sts.windows.net/{TENANT}/",
                "aud": "api://orders",
                "appid": "app-1",
                "tid": TENANT,
                "ver": "1.0",
                "scp": "orders.read orders.write",
            },
            {
                "refresh token": OPAQUE,
                "ID token": ("wrong_audience", {"aud": "app-1"}),
                "token for another API": ("wrong_audience", {"aud": "https://graph.windows.net"}),
                "another tenant in tid": ("wrong_claim", {"tid": OTHER_TENANT}),
                "another tenant": (
                    "unknown_issuer",
                    {"iss": f"https://sts.windows.net/{OTHER_TENANT}/", "tid": OTHER_TENANT},
                ),
            },
            {"typ": "JWT", "x5t": "AAAA"},
            ("orders.read", "orders.write"),
        ),
        Provider(
            "Entra ID v2",
            _rsa(
                issuer=f"https://login.microsoftonline.com/{TENANT}/v2.0",
                audiences=["6e74172b-be56-4843-9ff4-e66a39bb12e3"],
                scope_claim="roles",
                required_claims={"tid": TENANT, "ver": "2.0"},
            ),
            {
                "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0",
                "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
                "azp": "app-1",
                "tid": TENANT,
                "ver": "2.0",
                "roles": ["orders.read.all"],
            },
            {
                "refresh token": OPAQUE,
                "ID token": ("wrong_audience", {"aud": "app-1", "nonce": "n"}),
                "token for Graph": (
                    "wrong_audience",
                    {"aud": "00000003-0000-0000-c000-000000000000"},
                ),
                "another tenant": (
                    "unknown_issuer",
                    {"iss": f"https://login.microsoftonline.com/{OTHER_TENANT}/v2.0"},
                ),
            },
            {"typ": "JWT", "nonce": "AQAB", "x5t": "AAAA"},
            ("orders.read.all",),
        ),
        Provider(
            "Cognito",
            _rsa(
                issuer="https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab1",
                audiences=["6client"],
                audience_claim="client_id",
                required_claims={"token_use": "access"},
            ),
            {
                "iss": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab1",
                "client_id": "6client",
                "token_use": "access",
                "scope": "orders/read",
                "username": "u",
            },
            {
                "refresh token (encrypted)": ("not_three_segments", "a.b.c.d.e"),
                "ID token": (
                    "missing_audience",
                    {"token_use": "id", "aud": "6client", "client_id": None},
                ),
                "ID token with a client_id": ("wrong_claim", {"token_use": "id"}),
                "token of another app client": ("wrong_audience", {"client_id": "7client"}),
                "another user pool": (
                    "unknown_issuer",
                    {"iss": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Zz9"},
                ),
            },
            {},
            ("orders/read",),
        ),
        _google("Google", "https://accounts.google.com"),
        _google("Google (older iss)", "accounts.google.com"),
        Provider(
            "Firebase",
            _rsa(
                issuer="https://securetoken.google.com/acme",
                audiences=["acme"],
                required_claims={"firebase.tenant": "acme-shop"},
                max_lifetime=3600,
            ),
            {
                "iss": "https://securetoken.google.com/acme",
                "aud": "acme",
                "auth_time": 1,
                "firebase": {"sign_in_provider": "password", "tenant": "acme-shop"},
            },
            {
                "refresh token": OPAQUE,
                "session cookie": (
                    "unknown_issuer",
                    {"iss": "https://session.firebase.google.com/acme"},
                ),
                "another project": (
                    "unknown_issuer",
                    {"iss": "https://securetoken.google.com/evil", "aud": "evil"},
                ),
                "another tenant": ("wrong_claim", {"firebase": {"tenant": "evil-shop"}}),
                "no tenant": ("missing_claim", {"firebase": {"sign_in_provider": "password"}}),
            },
            {"typ": "JWT"},
        ),
        Provider(
            "Keycloak",
            _rsa(
                issuer="https://id.acme.example/realms/acme",
                audiences=["orders-api"],
                scope_claim="resource_access.orders-api.roles",
            ),
            {
                "iss": "https://id.acme.example/realms/acme",
                "aud": ["orders-api", "account"],
                "typ": "Bearer",
                "azp": "shop",
                "scope": "openid email",
                "realm_access": {"roles": ["offline_access"]},
                "resource_access": {"orders-api": {"roles": ["read", "write"]}},
            },
            {
                "refresh token": ("not_an_access_token", {"typ": "Refresh"}),
                "offline token": ("not_an_access_token", {"typ": "Offline"}),
                "ID token": ("not_an_access_token", {"typ": "ID"}),
                "token for another client": ("wrong_audience", {"aud": "account"}),
                "another realm": ("unknown_issuer", {"iss": "https://id.acme.example/realms/evil"}),
            },
            {"typ": "JWT"},
            ("read", "write"),
        ),
        Provider(
            "Supabase",
            {
                "algorithms": ["HS256"],
                "secret_name": "supabase",
                "issuer": "https://abc.supabase.example/auth/v1",
                "audiences": ["authenticated"],
                "required_claims": {"role": "authenticated", "is_anonymous": False},
            },
            {
                "iss": "https://abc.supabase.example/auth/v1",
                "aud": "authenticated",
                "role": "authenticated",
                "aal": "aal1",
                "is_anonymous": False,
            },
            {
                "refresh token": OPAQUE,
                "the project's anon key": ("unknown_issuer", {"iss": "supabase", "role": "anon"}),
                "anonymous sign-in": ("wrong_claim", {"is_anonymous": True}),
                "service role": ("wrong_claim", {"role": "service_role"}),
                "another audience": ("wrong_audience", {"aud": "other"}),
                "another project": (
                    "unknown_issuer",
                    {"iss": "https://xyz.supabase.example/auth/v1"},
                ),
            },
            {"typ": "JWT", "kid": "A1b2C3d4"},
        ),
        Provider(
            "Clerk",
            _rsa(
                issuer="https://clerk.acme.example",
                audiences=["https://app.acme.example"],
                audience_claim="azp",
                scope_claim="o.per",
                required_claims={"o.slg": "acme"},
            ),
            {
                "iss": "https://clerk.acme.example",
                "azp": "https://app.acme.example",
                "sid": "sess_1",
                "v": 2,
                "o": {"id": "org_1", "slg": "acme", "per": ["orders:read"]},
            },
            {
                "session of another origin": ("wrong_audience", {"azp": "https://evil.example"}),
                "session without origin": ("missing_audience", {"azp": None}),
                "another organization": ("wrong_claim", {"o": {"slg": "evil"}}),
                "another instance": ("unknown_issuer", {"iss": "https://clerk.evil.example"}),
            },
            {"typ": "JWT", "cat": "cl_B7d4"},
            ("orders:read",),
        ),
        Provider(
            "SAP XSUAA",
            _rsa(
                issuer="https://acme.authentication.eu10.hana.ondemand.example/oauth/token",
                audiences=["sb-orders!t1"],
                # A refresh token has granted_scopes and no scope.
                required_claims={
                    "zid": TENANT,
                    "scope": ["orders!t1.read", "orders!t1.write"],
                },
            ),
            {
                "iss": "https://acme.authentication.eu10.hana.ondemand.example/oauth/token",
                "aud": ["sb-orders!t1", "uaa", "openid"],
                "azp": "sb-orders!t1",
                "client_id": "sb-orders!t1",
                "grant_type": "client_credentials",
                "zid": TENANT,
                "scope": ["orders!t1.read", "uaa.resource"],
            },
            {
                "refresh token": (
                    "missing_claim",
                    {"scope": None, "granted_scopes": ["orders!t1.read"]},
                ),
                "ID token": ("wrong_claim", {"scope": ["openid"]}),
                "token for another app": ("wrong_audience", {"aud": ["sb-payments!t1"]}),
                "another zone": ("wrong_claim", {"zid": OTHER_TENANT}),
            },
            {
                "typ": "JWT",
                "jku": "https://acme.authentication.eu10.hana.ondemand.example/token_keys",
            },
            ("orders!t1.read", "uaa.resource"),
        ),
    )


def table() -> list[tuple[str, str, str, str]]:
    """Judge every token; return provider, token, what was expected, what came of it."""
    from apiguard.models import JwtIssuer
    from apiguard.policy.compile import compile_rows
    from apiguard.policy.rows import Rows
    from apiguard.request.tokens import claimed_issuer, judge_token
    from apiguard.rules import jwt

    everyone = providers()
    rows = [JwtIssuer(pk=pk, name=one.name, **one.row) for pk, one in enumerate(everyone, 1)]
    snapshot = compile_rows(Rows(issuers=tuple(rows)))

    def judged(text: str) -> str:
        try:
            parsed = jwt.parse(text)
            issuer = claimed_issuer(parsed, snapshot.issuers)
            judge_token(parsed, issuer, issuer.keys, time.time())
        except jwt.TokenRefused as refused:
            return refused.problem.value
        return "accepted"

    found = []
    for one in everyone:
        found.append((one.name, "access token", "accepted", judged(one.token())))
        for what, problem, text in one.refused_tokens():
            found.append((one.name, what, problem, judged(text)))
    return found


def main() -> int:
    """Print the table; return 1 where a token was judged otherwise than expected."""
    import os

    import django
    from django.test import override_settings

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings_test")
    django.setup()
    with override_settings(APIGUARD={"JWT_SECRETS": SECRETS}):
        found = table()
    for name, what, expected, came in found:
        mark = "" if came == expected else f"   EXPECTED {expected}"
        verdict = "200" if came == "accepted" else "401"
        sys.stdout.write(f"{name:<20}{what:<30}{verdict}  {came}{mark}\n")
    return int(any(came != expected for *_, expected, came in found))


if __name__ == "__main__":
    sys.exit(main())
