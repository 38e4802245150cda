"""CORS policies with the origins that they may allow. An origin with an error matches nothing."""

from __future__ import annotations

from typing import Any

from ...models import AllowedOrigin, CorsPolicy
from ...rules import origins as origin_rules
from ...rules.headers import SAFELISTED_METHODS
from ..rows import Problems, Rows
from ..snapshot import Cors


def cors_policies(rows: Rows, problems: Problems) -> dict[Any, Cors]:
    by_policy: dict[Any, list[AllowedOrigin]] = {}
    for origin in rows.origins:
        if origin.enabled and not problems.of(origin):
            by_policy.setdefault(origin.policy_id, []).append(origin)
    return {row.pk: _cors(row, by_policy.get(row.pk, []), problems) for row in rows.cors_policies}


def _cors(row: CorsPolicy, origins: list[AllowedOrigin], problems: Problems) -> Cors:
    broken = bool(problems.of(row))
    methods = [] if broken else row.allowed_methods
    headers = [] if broken else row.allowed_headers
    exposed = [] if broken else row.exposed_headers
    preflight = [
        ("Access-Control-Allow-Methods", ", ".join(methods)),
        ("Access-Control-Allow-Headers", ", ".join(headers)),
        ("Access-Control-Max-Age", str(row.max_age)),
    ]
    return Cors(
        pk=row.pk,
        name=row.name,
        origins=origin_rules.OriginSet(() if broken else _permitted(row, origins, problems)),
        methods=SAFELISTED_METHODS | frozenset(methods),
        headers=frozenset(name.lower() for name in headers),
        allow_credentials=row.allow_credentials and not broken,
        refuse_foreign=row.refuse_foreign_origins or broken,
        preflight_headers=tuple((name, value) for name, value in preflight if value),
        exposed_headers=", ".join(exposed),
    )


def _permitted(
    row: CorsPolicy, origins: list[AllowedOrigin], problems: Problems
) -> tuple[origin_rules.OriginPattern, ...]:
    patterns = {}
    for origin in origins:
        pattern = origin_rules.parse_pattern(origin.pattern)
        patterns[pattern.text] = (pattern, origin)
    refused = origin_rules.check_patterns(
        [pattern for pattern, _ in patterns.values()],
        allow_credentials=row.allow_credentials,
        allow_insecure=row.dangerously_allow_insecure_origins,
        allow_public_suffixes=row.dangerously_allow_public_suffixes,
    )
    for error in refused:
        dropped = patterns.pop(str(error.value), None)
        if dropped is not None:
            problems.of(dropped[1], [error.at("pattern")])
    return tuple(pattern for pattern, _ in patterns.values())
