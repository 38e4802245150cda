"""Which tokens are accepted that were not before, and as whom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from ...rules.jwt import TokenRules
from ..snapshot import IssuerPolicy, Snapshot
from .limits import compare_issuer_tiers, every_limit
from .statements import Draft, Kind, listed


def compare_issuers(before: Snapshot, after: Snapshot) -> Iterator[Draft]:
    """Yield the differences of the issuers in force."""
    for text, new in after.issuers.items():
        old = before.issuers.get(text)
        if old is None:
            yield from _added(new, after)
        elif old is not new:
            yield from _changed(old, new)
            yield from compare_issuer_tiers(old, new, before, after)
    for text, old in before.issuers.items():
        if text not in after.issuers:
            reason = f"Tokens of “{old.name}” ({old.rules.issuer}) are no longer accepted."
            yield Draft(Kind.CLOSES, "issuer_removed", reason)


def _added(new: IssuerPolicy, after: Snapshot) -> Iterator[Draft]:
    text = f"Tokens of “{new.name}” ({new.rules.issuer}) are accepted"
    if not any(not limit.shadow for limit in every_limit(after, new.tier_pk)):
        text += ", without any limit"
    yield Draft(Kind.OPENS, "issuer_added", f"{text}.")


def _changed(old: IssuerPolicy, new: IssuerPolicy) -> Iterator[Draft]:
    names = [
        field.name.replace("_", " ")
        for field in fields(TokenRules)
        if getattr(old.rules, field.name) != getattr(new.rules, field.name)
    ]
    if old.keys != new.keys or old.jwks_url != new.jwks_url:
        names.append("keys")
    if old.scope_claim != new.scope_claim:
        names.append("scope claim")
    if names:
        text = f"Other tokens of “{new.name}” are accepted than before: {listed(names, 10)}."
        yield Draft(Kind.OPENS, "issuer_changed", text)
    if old.user_field != new.user_field or old.pk != new.pk:
        text = f"Tokens of “{new.name}” stand for other users than before."
        yield Draft(Kind.OPENS, "issuer_users", text)
