"""CORS policies with the origins that they may allow. An origin with an error matches nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from ...models import AllowedOrigin, CorsPolicy
from ...rules import origins as origin_rules
from ...rules.headers import SAFELISTED_METHODS
from ..rows import Problems, Rows
from ..snapshot import Cors


def cors_policies(rows: Rows, problems: Problems) -> dict[Any, Cors]:
    by_policy: dict[Any, list[AllowedOrigin]] = {}
    for origin in rows.origins:
        if origin.enabled:
            by_policy.setdefault(origin.policy_id, []).append(origin)
    policies = {
        row.pk: _cors(row, by_policy.pop(row.pk, []), problems) for row in rows.cors_policies
    }
    for origin in chain.from_iterable(by_policy.values()):
        problems.of(origin)  # Its policy is gone; what is wrong with it is said all the same.
    return policies


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
    permitted = origin_rules.OriginSet(_permitted(row, broken, origins, problems))
    # "*" never goes with credentials (Fetch, section 3.2.5).
    credentialed = row.allow_credentials and not broken and not permitted.any
    credentials = _rendered("Allow-Credentials", "true" if credentialed else "")
    return Cors(
        pk=row.pk,
        name=row.name,
        origins=permitted,
        methods=SAFELISTED_METHODS | frozenset(methods),
        headers=frozenset(name.lower() for name in headers),
        refuse_foreign=row.refuse_foreign_origins or broken,
        preflight_headers=tuple((name, value) for name, value in preflight if value),
        preflight_grants=credentials,
        response_grants={**credentials, **_rendered("Expose-Headers", ", ".join(exposed))},
    )


def _rendered(name: str, value: str) -> dict[str, tuple[str, str]]:
    name = f"Access-Control-{name}"
    return {name.lower(): (name, value)} if value else {}


def _permitted(
    row: CorsPolicy, broken: bool, origins: Iterable[AllowedOrigin], problems: Problems
) -> Iterator[origin_rules.OriginPattern]:
    """One by one: of many thousand, none is kept for longer than it is judged."""
    for origin in origins:
        if problems.of(origin) or broken:
            continue
        pattern = origin_rules.parse_pattern(origin.pattern)
        refused = origin_rules.check_patterns(
            [pattern],
            allow_credentials=row.allow_credentials,
            allow_insecure=row.dangerously_allow_insecure_origins,
            allow_public_suffixes=row.dangerously_allow_public_suffixes,
        )
        if not problems.of(origin, [error.at("pattern") for error in refused]):
            yield pattern
