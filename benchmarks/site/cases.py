"""The ways in which one and the same API is guarded; each as its own documentation says.

``(d)``, ``(e)`` and ``(f)`` are what a project installs without apiguard to get the
same: CORS, a credential, three limits, a request id, security headers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Path of the view, and of the same view with one PING in the middle.
THING, PINGED = "/api/thing", "/api/pinged"

ORIGIN = "https://app.example.com"
ORIGINS = (ORIGIN, "https://dashboard.example.com")
WILDCARD = "https://*.preview.example.com"

# Limits of the same name and amount on both sides; nobody is ever refused.
AMOUNT = 10**7
PERIODS = {"minute": 60, "hour": 3600, "day": 86400}

COMMON = ("django.middleware.common.CommonMiddleware",)
GUARD = ("apiguard.middleware.ApiGuardMiddleware",)
# The order is that of the packages' documentation: the id first, CORS before CommonMiddleware.
PEERS = (
    "django_guid.middleware.guid_middleware",
    "django.middleware.security.SecurityMiddleware",
    "corsheaders.middleware.CorsMiddleware",
)

GUARD_REST: Mapping[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apiguard.rest_framework.authentication.ApiKeyAuthentication",
        "apiguard.rest_framework.authentication.JWTAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": ["apiguard.rest_framework.throttling.TierThrottle"],
    "EXCEPTION_HANDLER": "apiguard.rest_framework.exceptions.exception_handler",
}
PEERS_REST: Mapping[str, Any] = {
    "DEFAULT_THROTTLE_CLASSES": [
        f"benchmarks.site.throttles.Per{name.title()}" for name in PERIODS
    ],
    "DEFAULT_THROTTLE_RATES": {name: f"{AMOUNT}/{name}" for name in PERIODS},
}
KEY_REST = {
    **PEERS_REST,
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework_api_key.permissions.HasAPIKey"],
}
SMART_REST = {
    **KEY_REST,
    "DEFAULT_THROTTLE_CLASSES": [
        f"benchmarks.site.throttles.SmartPer{name.title()}" for name in PERIODS
    ],
}
JWT_REST = {
    **PEERS_REST,
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
}


@dataclass(frozen=True, slots=True)
class Case:
    """One way of guarding the view.

    ``credential`` names what a request carries: a key of ``credentials()``.
    """

    name: str
    title: str
    path: str = THING
    apps: tuple[str, ...] = ()
    middleware: tuple[str, ...] = COMMON
    rest: Mapping[str, Any] = field(default_factory=dict)
    guard: Mapping[str, Any] = field(default_factory=dict)
    credential: str = ""


APIGUARD_APPS = ("apiguard",)
PEER_APPS = ("django_guid", "corsheaders", "rest_framework_api_key")
_OURS: dict[str, Any] = {
    "apps": APIGUARD_APPS,
    "middleware": (*GUARD, *COMMON),
    "rest": GUARD_REST,
}
# Every request is counted in Redis, as that of a caller who is not busy.
_COUNTED: dict[str, Any] = {**_OURS, "guard": {"LEASES": False}}
_THEIRS: dict[str, Any] = {"apps": PEER_APPS, "middleware": (*PEERS, *COMMON)}

CASES = (
    Case("bare", "(a) bare view"),
    Case("floor", "floor: bare view with one PING", path=PINGED),
    Case("apiguard-key", "(b) apiguard, key", **_COUNTED, credential="apiguard-key"),
    Case("apiguard-jwt", "(c) apiguard, JWT", **_COUNTED, credential="apiguard-jwt"),
    Case("apiguard-leases", "(b) of a busy caller", **_OURS, credential="apiguard-key"),
    Case(
        "apiguard-memory",
        "(b) with limits in memory",
        **_OURS,
        guard={"COUNTER": "memory"},
        credential="apiguard-key",
    ),
    Case("peers-key", "(d) peers, key", **_THEIRS, rest=KEY_REST, credential="peers-key"),
    Case("peers-jwt", "(e) peers, JWT", **_THEIRS, rest=JWT_REST, credential="peers-jwt"),
    Case(
        "peers-smart",
        "(f) peers, key, django-smart-ratelimit",
        **_THEIRS,
        rest=SMART_REST,
        credential="peers-key",
    ),
)
# Everything installed at once: how the one database is made that all cases get copies of.
EVERYTHING = Case("everything", "", apps=(*APIGUARD_APPS, *PEER_APPS))
# The guard alone, in front of a plain view: what grows is not diluted by DRF.
GUARD_ALONE = Case("guard-alone", "", apps=APIGUARD_APPS, middleware=GUARD, path="/plain/thing")
# The same as (b), behind a proxy: so that strangers come from addresses of their own.
PROXIED = Case(
    "proxied",
    "",
    **_OURS,
    guard={"TRUSTED_PROXIES": ["127.0.0.1"]},
    credential="apiguard-key",
)

# An asynchronous view, bare and guarded.
ASYNC_BARE = Case("async-bare", "bare view", path="/async/thing", middleware=())
ASYNC_GUARDED = Case(
    "async-guarded",
    "apiguard, key, three limits",
    path="/async/thing",
    apps=APIGUARD_APPS,
    middleware=GUARD,
    credential="apiguard-key",
)

BY_NAME = {
    case.name: case
    for case in (*CASES, EVERYTHING, GUARD_ALONE, PROXIED, ASYNC_BARE, ASYNC_GUARDED)
}
