"""What each member of the ``APIGUARD`` dict may be, and how it is read.

Every reader takes the value as the project wrote it and returns what the rest
of apiguard works with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from typing import Any, Final

from ..errors import SettingError
from .headers import is_forbidden_response_header, is_token
from .keys import check_namespace
from .networks import Network, parse_network
from .paths import PrefixTable, normalise_prefix
from .rates import REQUESTS, Rate, parse_rate
from .scopes import parse_scopes
from .webhooks import parse_webhooks

HEADER_FAMILIES: Final = ("x-ratelimit", "draft-6", "draft-10")
"""The families of rate-limit headers that can be switched on."""

# Each is tried with every token that does not fit the ones before it.
MAX_SECRETS: Final = 5
MAX_ROWS: Final = 100_000_000
MAX_DAYS: Final = 3_660


def _wrong(value: object, reason: str, hint: str) -> SettingError:
    return SettingError("wrong_value", value, reason, hint)


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise _wrong(value, "This is not a boolean.", "Write True or False.")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise _wrong(value, "This is not a non-empty string.", "Write a string.")
    return value


def _optional_text(value: object) -> str | None:
    return None if value is None else _text(value)


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise _wrong(value, "This is not a number of seconds.", "Write a number such as 1.0.")
    return float(value)


def _days(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_DAYS:
        hint = f"Write 0 to {MAX_DAYS:,}; 0 keeps none."
        raise _wrong(value, "This is not a number of days.", hint)
    return value


def _optional_seconds(value: object) -> float | None:
    return None if value is None else _seconds(value)


def _rows(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_ROWS:
        hint = f"Write 0 to {MAX_ROWS:,}; 0 keeps none."
        raise _wrong(value, "This is not a number of rows.", hint)
    return value


def strings(value: object) -> list[str]:
    """A list or tuple of strings.

    Raises:
        SettingError: it is none.
    """
    if not isinstance(value, list | tuple | set | frozenset):
        raise _wrong(value, "This is not a list of strings.", 'Write a list, such as ["a", "b"].')
    if not all(isinstance(item, str) for item in value):
        raise _wrong(value, "A member of this list is not a string.", "Write strings only.")
    return list(value)


def _header_name(value: object) -> str:
    name = _text(value)
    if not is_token(name):
        raise _wrong(value, "This is not a header name.", 'Write a name such as "X-API-Key".')
    lower = name.lower()
    if lower in _RESERVED or (is_forbidden_response_header(name) and lower != "x-request-id"):
        hint = "Write a name that nothing else uses."
        raise _wrong(value, "This header has a meaning of its own.", hint)
    return name


# Requests say other things with these; where we write, the rules of header policies add more.
_RESERVED = frozenset(
    {
        *("accept", "accept-encoding", "authorization", "content-type", "cookie", "expect"),
        *("forwarded", "host", "origin", "proxy-authorization", "sec-fetch-site"),
        *("x-csrftoken", "x-forwarded-for", "x-forwarded-proto"),
    }
)


def _choice(*allowed: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in allowed:
            listed = ", ".join(repr(item) for item in allowed)
            raise _wrong(value, f"{value!r} is not one of the choices.", f"Write one of {listed}.")
        return str(value)

    return parse


def _prefixes(value: object) -> PrefixTable[bool]:
    return PrefixTable({normalise_prefix(item): True for item in strings(value)})


def _networks(value: object) -> tuple[Network, ...]:
    return tuple(parse_network(item) for item in strings(value))


def _proxies(value: object) -> tuple[Network, ...]:
    return _networks([item for item in strings(value) if item != "unix"])


def _secrets(value: object) -> dict[str, bytes]:
    return {name: _secret(name, secret) for name, secret in _by_name(value)}


def _rotated_secrets(value: object) -> dict[str, tuple[bytes, ...]]:
    """Read secrets of which each may be a list: the newest first, then those that still verify."""
    return {name: _secret_list(name, given) for name, given in _by_name(value)}


def _secret_list(name: str, given: object) -> tuple[bytes, ...]:
    secrets = given if isinstance(given, list | tuple) else [given]
    if not 1 <= len(secrets) <= MAX_SECRETS:
        reason = f"A name has 1 to {MAX_SECRETS} secrets."
        raise _wrong(name, reason, "Write the newest first, and drop the oldest.")
    return tuple(_secret(name, secret) for secret in secrets)


def _by_name(value: object) -> Iterator[tuple[str, object]]:
    if not isinstance(value, Mapping):
        raise _wrong("…", "This is not a dict of secrets.", 'Write {"name": "secret"}.')
    for name, given in value.items():
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name):
            # Not repeated either: name and secret may have been swapped.
            raise _wrong("…", "This is not a name for a secret.", "Use [A-Za-z0-9._-]{1,64}.")
        yield name, given


def _secret(name: str, given: object) -> bytes:
    if not isinstance(given, str | bytes) or not given:
        # The value is a secret, so the message must not repeat it.
        raise _wrong(name, "A secret of this name is empty or no string.", "Write a string.")
    return given.encode() if isinstance(given, str) else given


def _optional_boolean(value: object) -> bool | None:
    return None if value is None else _boolean(value)


def _metrics(value: object) -> bool:
    if _boolean(value) and find_spec("prometheus_client") is None:
        raise _wrong(
            value,
            "Metrics need the package prometheus-client, which is not installed.",
            "Install apiguard-django[metrics].",
        )
    return bool(value)


def _scopes(value: object) -> frozenset[str] | None:
    return None if value is None else frozenset(parse_scopes(strings(value)))


def _rate(value: object) -> Rate | None:
    if value is None:
        return None
    rate = parse_rate(_text(value))
    if rate.period is None or rate.at_once or rate.unit != REQUESTS:
        raise _wrong(value, "This is no number per time.", 'Write a rate, such as "60/min".')
    return rate


def _families(value: object) -> tuple[str, ...]:
    families = tuple(strings(value))
    for family in families:
        _choice(*HEADER_FAMILIES)(family)
    return families


def _realm(value: object) -> str:
    realm = _text(value)
    if not re.fullmatch(r"[ !#-\[\]-~]{1,128}", realm):
        raise _wrong(value, "A realm is printable ASCII.", 'Leave out " and \\.')
    return realm


def _days_or_none(value: object) -> int | None:
    return None if value is None else _days(value)


PARSERS: Final[dict[str, Callable[[object], Any]]] = {
    "ENABLED": _boolean,
    "EXEMPT_PATHS": _prefixes,
    "COUNTER": _text,
    "COUNTER_PREFIX": _text,
    "POLICY_MAX_AGE": _optional_seconds,
    "POLICY_MAX_STALENESS": _seconds,
    "TRUSTED_PROXIES": _proxies,
    "FORWARDED_HEADER": _choice("X-Forwarded-For", "Forwarded"),
    "API_KEY_HEADER": _header_name,
    "REQUEST_ID_HEADER": _header_name,
    "TRUST_REQUEST_ID": _choice("always", "proxies", "never"),
    "KEY_NAMESPACE": lambda value: check_namespace(_text(value)),
    "KEY_PEPPERS": _secrets,
    "ALLOW_TEST_KEYS": _boolean,
    "JWT_SECRETS": _rotated_secrets,
    "JWKS_ALLOWED_NETWORKS": _networks,
    "JWKS_CA_FILE": _optional_text,
    "SCOPES": _scopes,
    "FAILED_CREDENTIALS_LIMIT": _rate,
    "RATE_LIMIT_HEADERS": _families,
    "ERROR_FORMAT": _choice("problem", "simple"),
    "REALM": _realm,
    "USAGE_KEEP_DAYS": _days,
    "REFUSALS_KEEP_DAYS": _days,
    "REFUSALS_KEEP_ROWS": _rows,
    "REFUSALS_ADDRESS": _choice("full", "network"),
    "HISTORY_KEEP_DAYS": _days_or_none,
    "TESTING": _optional_boolean,
    "ADMIN": _boolean,
    "LEASES": _boolean,
    "SIGN_IN_TIER": _optional_text,
    "WEBHOOKS": parse_webhooks,
    "METRICS": _metrics,
}
"""Member -> reader; a reader raises :class:`~apiguard.errors.PolicyError`."""
