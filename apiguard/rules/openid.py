"""What an identity provider publishes about itself, and what an example token shows.

OpenID Connect Discovery 1.0: a document below the issuer's URL names its exact
``iss``, where its keys are, and with which algorithms it signs. A token shows the
rest: where the audience stands, and which claims tell an access token of this
tenant from the issuer's other tokens. Both are suggestions for a form that a
person reads before saving; nothing is accepted because of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..errors import IssuerError
from .jwks import read_key_set
from .jwks_url import parse_keys_url
from .jwt import FAMILIES, claim_at
from .jwt_claims import KIND_CLAIMS, is_access_kind
from .key_set import KeySet
from .strict_json import JsonRefused, read_object

WELL_KNOWN: Final = "/.well-known/openid-configuration"

# The order in which families are tried where an issuer publishes keys of several.
_PUBLIC_FAMILIES = ("RS", "ES", "EdDSA", "PS")
# Claims that hold the audience where there is no aud: Cognito, Clerk, Okta.
_AUDIENCE_CLAIMS = ("client_id", "azp", "cid")
# Claims that name a tenant: Entra, SAP, Google Workspace, Auth0, Firebase, Clerk.
_TENANT_CLAIMS = ("tid", "zid", "hd", "org_id", "firebase.tenant", "o.id")
_SCOPE_CLAIMS = ("permissions", "scp", "scope", "roles", "realm_access.roles")


@dataclass(frozen=True, slots=True)
class ProviderConfiguration:
    """The members of the document that an issuer's row needs."""

    issuer: str
    jwks_url: str
    algorithms: tuple[str, ...]


def configuration_url(url: str) -> str:
    """Return where the document of the issuer with this URL is.

    Raises:
        IssuerError: it is no https URL that may be fetched from.
    """
    base = url.strip().removesuffix(WELL_KNOWN).rstrip("/")
    try:
        parse_keys_url(base)
    except IssuerError:
        hint = "Write the issuer's URL, such as https://id.example.com/realms/acme."
        raise IssuerError("bad_issuer_url", url, "Nothing can be read from here.", hint) from None
    return base + WELL_KNOWN


def read_configuration(raw: bytes) -> ProviderConfiguration:
    """Read the document.

    Raises:
        IssuerError: it is no such document, is for no single tenant, or names
            a URL of keys that may not be fetched from.
    """
    try:
        members = read_object(raw)
    except JsonRefused as refused:
        raise _bad_document(
            f"It is not JSON that everybody reads alike ({refused.problem})."
        ) from None
    issuer, jwks_url = members.get("issuer"), members.get("jwks_uri")
    if not isinstance(issuer, str) or not 1 <= len(issuer) <= 255 or not issuer.isprintable():
        raise _bad_document("It names no issuer.")
    if not isinstance(jwks_url, str):
        raise _bad_document("It names no URL of keys (jwks_uri).")
    if "{" in issuer:
        reason = f"The issuer {issuer!r} is a pattern for many tenants."
        hint = "Write the URL of your own tenant, so that tokens of others are refused."
        raise IssuerError("issuer_of_many", issuer, reason, hint)
    parse_keys_url(jwks_url)
    listed = members.get("id_token_signing_alg_values_supported")
    names = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    return ProviderConfiguration(issuer, jwks_url, tuple(names))


def choose_algorithms(listed: Iterable[str], raw_keys: bytes) -> tuple[tuple[str, ...], KeySet]:
    """Return algorithms of one family that the issuer lists and has keys for, and these keys.

    Raises:
        IssuerError: none of the keys can verify a token.
    """
    names, error = set(listed), None
    for family in _PUBLIC_FAMILIES:
        candidates = [name for name in FAMILIES[family] if not names or name in names]
        try:
            keys = read_key_set(raw_keys, candidates)
        except IssuerError as problem:
            error = error or problem
            continue
        fitting = {name for key in keys.keys for name in key.prepared}
        return tuple(name for name in candidates if name in fitting), keys
    raise error or _bad_document("It lists no algorithm that tokens may be signed with.")


def suggest_fields(claims: Mapping[str, Any]) -> dict[str, Any]:
    """Return values for the fields of an issuer's row that would accept a token like this one."""
    fields: dict[str, Any] = {}
    if claims.get("aud"):
        fields["audiences"] = _audiences(claims)
    else:
        for name in _AUDIENCE_CLAIMS:
            if isinstance(value := claims.get(name), str):
                fields |= {"audience_claim": name, "audiences": [value]}
                break
    fields["required_claims"] = suggest_required(claims)
    for name in _SCOPE_CLAIMS:
        if claim_at(claims, name):
            fields["scope_claim"] = name
            break
    return fields


def suggest_required(claims: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims that tell such a token from its issuer's others: kind and tenant."""
    suggested: dict[str, Any] = {}
    for name in (*KIND_CLAIMS, *_TENANT_CLAIMS):
        value = claim_at(claims, name)
        if isinstance(value, str) and value and (name not in KIND_CLAIMS or is_access_kind(value)):
            suggested[name] = value
    return suggested


def _audiences(claims: Mapping[str, Any]) -> list[str]:
    value = claims["aud"]
    texts = [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
    # Auth0 adds the address of its own user information to that of the API.
    return [one for one in texts if not one.endswith("/userinfo")] or texts


def _bad_document(reason: str) -> IssuerError:
    return IssuerError(
        "not_a_configuration",
        "",
        f"What the issuer publishes about itself cannot be used. {reason}",
        "Fill in the form by hand.",
    )
