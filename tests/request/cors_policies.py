"""The policies and routes that the table of CORS asks, as rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apiguard.models import AllowedOrigin, CorsPolicy, Route

APP = "https://app.example.com"
LISTED = {
    "allowed_methods": ["GET", "PUT", "PATCH"],
    "allowed_headers": ["Authorization", "X-Key"],
    "exposed_headers": ["X-Request-ID", "X-Total"],
    "max_age": 600,
    "allow_credentials": False,
}
"""What a policy says where it does not say otherwise."""

MANY = [f"X-Header-{number:03}" for number in range(200)]


@dataclass(frozen=True, slots=True)
class Policy:
    """One CORS policy and one route that uses it, under ``/<its name>/``."""

    patterns: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    route: Mapping[str, Any] = field(default_factory=dict)
    disabled: tuple[str, ...] = ()
    none: bool = False


POLICIES = {
    "exact": Policy((APP,)),
    "creds": Policy((APP,), {"allow_credentials": True}),
    "several": Policy(("https://a.example", "https://b.example", "http://c.example:81")),
    "family": Policy(("https://*.example.com",)),
    "shared-suffix": Policy(("https://foo.com", "https://bar.com", "https://*.oo.com")),
    "ported": Policy(("https://*.example.com:8443", "http://localhost:3000")),
    "any-port": Policy(("http://localhost:*", "https://*.example.com:*")),
    "anybody": Policy(("*",)),
    "anybody-bare": Policy(
        ("*",), {"allowed_methods": [], "allowed_headers": [], "exposed_headers": []}
    ),
    "addresses": Policy(("http://127.0.0.1:3000", "http://[::1]:3000", "https://192.0.2.1")),
    "apps": Policy(
        (
            *("capacitor://localhost", "ionic://localhost", "tauri://localhost"),
            f"chrome-extension://{'abcdefghijklmnop' * 2}",
        )
    ),
    "international": Policy(("https://xn--bcher-kva.example",)),
    "lenient": Policy((APP,), {"refuse_foreign_origins": False}),
    "bare": Policy((APP,), {"allowed_methods": [], "allowed_headers": [], "exposed_headers": []}),
    "forgetful": Policy((APP,), {"max_age": 0}),
    "many-headers": Policy((APP,), {"allowed_headers": MANY}),
    "own-method": Policy((APP,), {"allowed_methods": ["PURGE", "x-odd"]}),
    "empty": Policy(),
    "none": Policy(none=True),
    "locked": Policy((APP,), {"allow_credentials": True}, {"access": "credentials"}),
    "picky": Policy((APP,), {}, {"methods": ["GET"], "produces": ["application/json"]}),
    "watching": Policy((APP,), {}, {"mode": "observe"}),
    "off": Policy((APP,), {}, {"mode": "off"}),
    "loopback": Policy(("http://localhost:3000",), {"allow_credentials": True}),
    # What forms refuse, and what slipped in all the same.
    "star-and-credentials": Policy(("*", APP), {"allow_credentials": True}),
    "plain-http": Policy(("http://intranet.example", APP), {"allow_credentials": True}),
    "plain-http-meant": Policy(
        ("http://intranet.example",),
        {"allow_credentials": True, "dangerously_allow_insecure_origins": True},
    ),
    "public-suffix": Policy(("https://*.github.io", "https://*.co.uk", APP)),
    "public-suffix-meant": Policy(
        ("https://*.github.io",), {"dangerously_allow_public_suffixes": True}
    ),
    "misspelled": Policy(
        (
            *("https://app.example.com/", "HTTPS://B.EXAMPLE", "https://c.example:443", "null"),
            *("https://.*\\.example\\.com", "https://*example.com", "https://*", "file://", ""),
            *("https://d.example,https://e.example", "*.f.example", "https://g.example"),
        )
    ),
    "broken": Policy((APP, "*"), {"allowed_methods": ["GET PUT"], "refuse_foreign_origins": False}),
    "disabled": Policy((APP,), disabled=("https://gone.example",)),
    # Origins that a browser on this machine really has.
    "local": Policy(("http://localhost:*",)),
    "local-creds": Policy(("http://localhost:*",), {"allow_credentials": True}),
    "local-lenient": Policy(("http://localhost:*",), {"refuse_foreign_origins": False}),
    "local-family": Policy(("http://*.localhost:*",)),
    "local-bare": Policy(
        ("http://localhost:*",),
        {"allowed_methods": [], "allowed_headers": [], "exposed_headers": []},
    ),
    "local-forgetful": Policy(("http://localhost:*",), {"max_age": 0}),
}

# Longer prefix -> the policy there, whatever the shorter one says.
INNER_ROUTES = {"/anybody/inner/": "exact", "/exact/inner/": "anybody"}


def rows(first: int = 5000) -> list[Any]:
    """All policies as unsaved rows with primary keys from ``first`` on."""
    keys = iter(range(first, first + 1000))
    policies: dict[str, CorsPolicy] = {}
    made: list[Any] = []
    for name, policy in POLICIES.items():
        if not policy.none:
            row = CorsPolicy(pk=next(keys), name=name, **{**LISTED, **policy.fields})
            policies[name] = row
            made.append(row)
            made += [
                AllowedOrigin(
                    pk=next(keys), policy=row, pattern=text, enabled=text in policy.patterns
                )
                for text in (*policy.patterns, *policy.disabled)
            ]
        made.append(_route(next(keys), f"/{name}/", policies.get(name), **policy.route))
    made += [_route(next(keys), prefix, policies[name]) for prefix, name in INNER_ROUTES.items()]
    return made


def _route(pk: int, prefix: str, policy: CorsPolicy | None, **fields: Any) -> Route:
    values = {"access": "public", **fields}
    return Route(pk=pk, name=f"cors {prefix}", path_prefix=prefix, cors_policy=policy, **values)
