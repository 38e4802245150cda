"""Unsaved rows of every kind, and the snapshot that they compile to."""

from __future__ import annotations

from apiguard.models import (
    AllowedOrigin,
    BlockedNetwork,
    CorsPolicy,
    HeaderPolicy,
    JwtIssuer,
    Limit,
    ResponseHeader,
    Route,
    Tier,
)
from apiguard.policy.compile import compile_rows
from apiguard.policy.rows import Rows

KIND = {
    Route: "routes",
    CorsPolicy: "cors_policies",
    AllowedOrigin: "origins",
    HeaderPolicy: "header_policies",
    ResponseHeader: "headers",
    Tier: "tiers",
    Limit: "limits",
    JwtIssuer: "issuers",
    BlockedNetwork: "blocks",
}


def compiled(*rows):
    by_kind = {}
    for row in rows:
        by_kind.setdefault(KIND[type(row)], []).append(row)
    return compile_rows(Rows(**{kind: tuple(found) for kind, found in by_kind.items()}))


def route(pk=1, **fields):
    return Route(**{"pk": pk, "name": f"r{pk}", "path_prefix": f"/r{pk}/", **fields})


def tier(pk=1, **fields):
    return Tier(**{"pk": pk, "slug": f"t{pk}", "name": f"T{pk}", **fields})


def limit(pk=1, **fields):
    given_fields = {"tier_id": 1, "name": f"l{pk}", "amount": 10, "period": 60, **fields}
    return Limit(pk=pk, **given_fields)


def cors(pk=1, **fields):
    return CorsPolicy(**{"pk": pk, "name": f"c{pk}", **fields})


def origin(pattern, pk=1, **fields):
    return AllowedOrigin(**{"pk": pk, "policy_id": 1, "pattern": pattern, **fields})


def header(pk=1, **fields):
    given_fields = {"policy_id": 1, "name": "X-Frame-Options", "value": "DENY", **fields}
    return ResponseHeader(pk=pk, **given_fields)


def issuer(pk=1, **fields):
    given_fields = {
        "name": f"i{pk}",
        "issuer": f"https://i{pk}.example",
        "audiences": ["api"],
        "algorithms": ["HS256"],
        "secret_name": "demo",
        **fields,
    }
    return JwtIssuer(pk=pk, **given_fields)


def codes(snapshot):
    return [problem.error.code for problem in snapshot.problems]


def broken(snapshot):
    return {policy.name for policy in snapshot.routes._entries.values() if policy.broken}
