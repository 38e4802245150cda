"""Token issuers. One with an error, or switched off, signs nothing that is accepted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.views.decorators.debug import sensitive_variables

from ... import conf
from ...errors import IssuerError
from ...models import JwtIssuer
from ...rules.jwks import parse_key_set
from ...rules.jwt import TokenRules, accepted_algorithms, parse_required_claims
from ...rules.jwt_sign import Template
from ...rules.key_set import NO_KEYS, KeySet, secret_key_set
from ..pacing import paced
from ..rows import Delta, Problems
from ..snapshot import IssuerPolicy, Part

# What access tokens say in typ, where a row lists nothing (RFC 7519 section 5.1, RFC 9068).
TOKEN_TYPES = ["JWT", "at+jwt", "none"]


@dataclass(frozen=True, slots=True)
class Issuers:
    """All issuers, compiled. A part is ``None`` for one that is off or has an error."""

    parts: dict[Any, Part[IssuerPolicy | None]] = field(default_factory=dict)

    def after(self, delta: Delta) -> Issuers:
        """Return a successor, in which the written issuers are compiled anew."""
        gone = delta.gone("issuers")
        if not gone and not delta.written.issuers:
            return self
        parts = {pk: part for pk, part in self.parts.items() if pk not in gone}
        for row in paced(delta.written.issuers):
            parts[row.pk] = _part(row)
        return Issuers(parts)


def _part(row: JwtIssuer) -> Part[IssuerPolicy | None]:
    problems = Problems()
    good = row.enabled and not problems.of(row)
    return Part(issuer_policy(row) if good else None, tuple(problems.found))


def issuer_policy(row: JwtIssuer) -> IssuerPolicy:
    """Return what judges the tokens of a row without problems."""
    return IssuerPolicy(
        pk=row.pk,
        name=row.name,
        rules=TokenRules(
            issuer=row.issuer,
            audiences=frozenset(row.audiences),
            algorithms=frozenset(accepted_algorithms(row.algorithms)),
            leeway=row.leeway,
            token_types=_token_types(row.token_types),
            max_lifetime=row.max_lifetime,
            audience_claim=row.audience_claim,
            required_claims=parse_required_claims(row.required_claims),
        ),
        keys=keys_at_hand(row),
        jwks_url=row.jwks_url,
        fetched_at=row.fetched_at,
        tier_pk=row.tier_id,
        tier_claim=row.tier_claim,
        scope_claim=row.scope_claim,
        user_field=row.user_field,
    )


def token_template(row: JwtIssuer, rules: TokenRules) -> Template:
    """Return what the tokens of an HMAC issuer have in common."""
    return Template(
        issuer=row.issuer,
        audience=row.audiences[0],
        algorithm=row.algorithms[0],
        audience_claim=row.audience_claim,
        scope_claim=row.scope_claim,
        required_claims=row.required_claims,
        max_lifetime=row.max_lifetime,
        token_type=rules.token_types[0],
    )


@sensitive_variables()
def keys_at_hand(row: JwtIssuer) -> KeySet:
    """Return the keys of a row without problems; of a URL, those of the stored copy."""
    if row.secret_name:
        secrets = conf.current().jwt_secrets[row.secret_name]
        return secret_key_set(row.secret_name, secrets, row.algorithms)
    if row.jwks_url:
        return _stored(row)
    return parse_key_set(row.jwks, row.algorithms)


def _stored(row: JwtIssuer) -> KeySet:
    """Return the copy of fetched keys, if it came from the URL that the row names now."""
    copy = row.fetched_jwks
    if not isinstance(copy, dict) or copy.get("url") != row.jwks_url:
        return NO_KEYS
    try:
        return parse_key_set(copy, row.algorithms)
    except IssuerError:
        return NO_KEYS  # No mistake: the algorithms were changed since.


def _token_types(listed: list[str]) -> tuple[str, ...]:
    """As ``TokenRules`` wants them: "" stands for a token without a type."""
    return tuple("" if item.lower() == "none" else item for item in listed or TOKEN_TYPES)
