"""django-smart-ratelimit's middleware: ``RATELIMIT_MIDDLEWARE``, its rules and its user tiers.

Its decorators are read with django-ratelimit's.
"""

from __future__ import annotations

import re
from typing import Any, Final

from django.apps import apps
from django.conf import settings

from .decorators import read_rate
from .found import ALL_METHODS, BY_ADDRESS, BY_KEY, Counted, Reading, Throttle

MIDDLEWARE: Final = "django_smart_ratelimit.middleware.RateLimitMiddleware"
DEFAULT_KEY: Final = "django_smart_ratelimit.middleware.default_key_function"
_APP: Final = "django_smart_ratelimit"
_LITERAL = re.compile(r"\^(/[\w./~-]*)\Z", re.ASCII)
_LABEL: Final = "django-smart-ratelimit"


def read(reading: Reading) -> None:
    """Add what the middleware counts, if the project has it."""
    if MIDDLEWARE not in settings.MIDDLEWARE:
        return
    found: dict[str, Any] = getattr(settings, "RATELIMIT_MIDDLEWARE", {})
    _read_settings(found, reading)
    for name in ("ALLOW_LIST", "DENY_LIST"):
        if found.get(name):
            reading.refused.append(
                f"{_LABEL}: {name}. Block networks with: manage.py apiguard block"
            )
    if found.get("SKIP_PATHS"):
        reading.notices.append(
            f"{_LABEL}: SKIP_PATHS. Only requests below a route are counted, so make none for them"
        )
    if getattr(settings, "RATELIMIT_USE_DYNAMIC_RULES", False) and apps.is_installed(_APP):
        _read_rules(reading)


def _read_settings(found: dict[str, Any], reading: Reading) -> None:
    key = found.get("KEY_FUNCTION") or DEFAULT_KEY
    if key != DEFAULT_KEY:
        reading.refused.append(f"{_LABEL}: RATELIMIT_MIDDLEWARE counts by {key}")
        return
    for prefix, rate in found.get("RATE_LIMITS", {}).items():
        _add(f"RATE_LIMITS[{prefix!r}]", prefix, rate, "ip", reading, prefix=prefix)
    _add("DEFAULT_RATE", "default", found.get("DEFAULT_RATE", "100/m"), "ip", reading)
    if found.get("RATE_LIMITS"):
        reading.notices.append(
            f"{_LABEL}: DEFAULT_RATE does not count requests that RATE_LIMITS has a rate for. "
            "The limit counts them, too"
        )


def _read_rules(reading: Reading) -> None:
    rules = list(apps.get_model(_APP, "RateLimitRule").objects.filter(is_active=True))
    tiers = []
    if getattr(settings, "RATELIMIT_USE_USER_TIERS", False):
        tiers = list(apps.get_model(_APP, "UserTier").objects.all())
        assigned = apps.get_model(_APP, "UserTierAssignment").objects.count()
        if assigned:
            reading.refused.append(
                f"{_LABEL}: the tiers of {assigned} users. "
                "A route has one tier for all users; a client has a tier of its own"
            )
    for rule in rules:
        label = f"rule {rule.name!r}"
        literal = _LITERAL.match(rule.path_pattern)
        if literal is None:
            reading.refused.append(
                f"{_LABEL}: {label} has the pattern {rule.path_pattern}, which is no prefix"
            )
            continue
        methods = frozenset(rule.methods()) - {"ALL"} or ALL_METHODS
        more = {"prefix": literal[1], "methods": methods}
        _add(label, rule.name, rule.rate, rule.key, reading, **more)
        for tier in tiers:
            rate = _rate_in_tier(rule, tier)
            label_in_tier = f"{label} in tier {tier.name!r}"
            _add(label_in_tier, rule.name, rate, "user", reading, tier=tier.name, **more)


def _rate_in_tier(rule: Any, tier: Any) -> object:
    """As the package's ``apply_tier_to_rate`` says."""
    if rule.name in (tier.explicit_limits or {}):
        return tier.explicit_limits[rule.name]
    parsed = read_rate(rule.rate)
    if parsed is None:
        return rule.rate
    return max(1, round(parsed[0] * (tier.rate_multiplier or 1.0))), parsed[1]


def _add(label: str, name: str, rate: object, key: object, reading: Reading, **more: Any) -> None:
    label = f"{_LABEL}: {label}"
    counted: Counted | None = BY_KEY.get(key) if isinstance(key, str) else None
    if counted is None:
        reading.refused.append(f"{label} counts by {key!r}, and no limit does")
    elif (parsed := read_rate(rate)) is None:
        reading.refused.append(f"{label} has a rate that no limit can have ({rate})")
    else:
        notices = (BY_ADDRESS,) if key == "ip" else ()
        throttle = Throttle(label, name, *parsed, counted, notices=notices, **more)
        reading.throttles.append(throttle)
