"""Token issuers. One with an error, or switched off, signs nothing that is accepted."""

from __future__ import annotations

from ... import conf
from ...rules.jwt import TokenRules, prepare_key
from ..rows import Problems, Rows
from ..snapshot import IssuerPolicy


def issuers(rows: Rows, problems: Problems) -> dict[str, IssuerPolicy]:
    secrets = conf.current().jwt_secrets
    return {
        row.issuer: IssuerPolicy(
            pk=row.pk,
            name=row.name,
            rules=TokenRules(
                issuer=row.issuer,
                audiences=frozenset(row.audiences),
                algorithms=frozenset(row.algorithms),
                leeway=row.leeway,
                token_types=_token_types(row.token_types),
                max_lifetime=row.max_lifetime,
            ),
            keys={name: prepare_key(secrets[row.secret_name], name) for name in row.algorithms},
            secret_name=row.secret_name,
            tier_pk=row.tier_id,
            tier_claim=row.tier_claim,
            scope_claim=row.scope_claim,
            user_field=row.user_field,
        )
        for row in rows.issuers
        if row.enabled and not problems.of(row)
    }


def _token_types(listed: list[str]) -> tuple[str, ...]:
    """As ``TokenRules`` wants them: "" stands for a token without a type."""
    return tuple("" if item.lower() == "none" else item for item in listed or ["JWT", "none"])
