"""The ``APIGUARD`` dict of a project, read once into one frozen, typed value.

``conf.current()`` is what every other module asks. It is rebuilt when Django
says that a setting changed, so ``override_settings(APIGUARD=...)`` works; it
never reads the database, because policy lives there and operations live here.
While tests of the project run, limits are counted in memory and policy is read
only after changes of this process, whatever the dict says.

A member with a wrong value raises ``ImproperlyConfigured`` when settings are
first needed (a guard that guesses is no guard). An unknown member is reported
by a system check only, with the nearest name that exists.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from . import test_run
from .errors import PolicyError, SettingError
from .rules.networks import Network
from .rules.paths import PrefixTable
from .rules.rates import Rate
from .rules.setting_values import HEADER_FAMILIES, PARSERS, strings
from .rules.webhooks import WebhookTarget


@dataclass(frozen=True, slots=True)
class Settings:
    """One member per setting; names are those of the dict in lower case.

    Durations are seconds. ``policy_max_age`` is ``None`` where only changes
    made by this process are looked for. ``testing`` is ``None`` where a test
    runner decides it, and never in what ``current()`` returns.
    """

    enabled: bool = True
    exempt_paths: PrefixTable[bool] = field(default_factory=lambda: PrefixTable({}))
    counter: str = "memory"
    counter_prefix: str = "apiguard"
    policy_max_age: float | None = 1.0
    policy_max_staleness: float = 3600.0
    trusted_proxies: tuple[Network, ...] = ()
    trust_unix: bool = False
    forwarded_header: Literal["X-Forwarded-For", "Forwarded"] = "X-Forwarded-For"
    api_key_header: str = "X-API-Key"
    request_id_header: str = "X-Request-ID"
    trust_request_id: Literal["always", "proxies", "never"] = "always"
    key_namespace: str = "ag"
    key_peppers: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    allow_test_keys: bool = True
    jwt_secrets: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict, repr=False)
    jwks_allowed_networks: tuple[Network, ...] = ()
    jwks_ca_file: str | None = None
    scopes: frozenset[str] | None = None
    failed_credentials_limit: Rate | None = field(default_factory=lambda: Rate(60, 60))
    rate_limit_headers: tuple[str, ...] = HEADER_FAMILIES
    error_format: Literal["problem", "simple"] = "problem"
    realm: str = "api"
    admin: bool = True
    usage_keep_days: int = 90
    refusals_keep_days: int = 7
    refusals_keep_rows: int = 200_000
    refusals_address: Literal["full", "network"] = "full"
    history_keep_days: int | None = None
    leases: bool = True
    sign_in_tier: str | None = None
    metrics: bool = False
    webhooks: Mapping[str, WebhookTarget] = field(default_factory=dict)
    testing: bool | None = None
    # The same names as they stand in WSGI's environ, computed once.
    api_key_meta: str = "HTTP_X_API_KEY"
    request_id_meta: str = "HTTP_X_REQUEST_ID"
    forwarded_meta: str = "HTTP_X_FORWARDED_FOR"

    @property
    def keeps_refusals(self) -> bool:
        """Whether refused requests become rows."""
        return self.refusals_keep_days > 0 and self.refusals_keep_rows > 0


def _meta(header: str) -> str:
    return "HTTP_" + header.upper().replace("-", "_")


def _unknown(name: object) -> SettingError:
    nearest = difflib.get_close_matches(str(name).upper(), PARSERS, n=1)
    hint = f"Did you mean {nearest[0]!r}?" if nearest else "Remove it."
    return SettingError(
        "unknown_setting",
        name,
        f"APIGUARD has no member {name!r}.",
        hint,
        field=str(name),
        suggestion=nearest[0] if nearest else None,
    )


def _metas(values: dict[str, Any], errors: list[SettingError]) -> dict[str, str]:
    """The names of our headers as they stand in WSGI's environ; all of them differ."""
    headers = ("api_key_header", "request_id_header", "forwarded_header")
    defaults = {item.name: item.default for item in fields(Settings)}
    metas = [_meta(values.get(header, defaults[header])) for header in headers]
    if metas[0] == metas[1]:
        value = values.get("api_key_header", defaults["api_key_header"])
        reason = "Request ids are sent back and logged, and keys must not be."
        hint = "Write another name than that of REQUEST_ID_HEADER."
        errors.append(SettingError("wrong_value", value, reason, hint, field="API_KEY_HEADER"))
        for header in headers[:2]:
            values.pop(header, None)
        return _metas(values, errors)
    return {
        header.replace("_header", "_meta"): meta
        for header, meta in zip(headers, metas, strict=True)
    }


def _unprotected(webhooks: Mapping[str, WebhookTarget]) -> list[SettingError]:
    reason = "Events are posted to this webhook without TLS."
    hint = "Write an https URL; http is for loopback and DEBUG."
    return [
        SettingError("wrong_value", name, f"{name}: {reason}", hint, field="WEBHOOKS")
        for name, target in webhooks.items()
        if not target.is_protected
    ]


def parse(
    given: Mapping[str, object], caches: Mapping[str, object], *, debug: bool = False
) -> tuple[Settings, list[SettingError]]:
    """Settings of an ``APIGUARD`` dict, and everything that is wrong with it.

    A member with an error keeps its default in the returned value.

    Args:
        debug: whether events may be posted without TLS.
    """
    errors: list[SettingError] = [_unknown(name) for name in given if name not in PARSERS]
    values: dict[str, Any] = {"counter": "apiguard" if "apiguard" in caches else "memory"}
    for name, parser in PARSERS.items():
        if name not in given:
            continue
        try:
            values[name.lower()] = parser(given[name])
        except PolicyError as error:
            errors.append(
                SettingError("wrong_value", error.value, error.reason, error.hint, field=name)
            )
    if "trusted_proxies" in values:
        values["trust_unix"] = "unix" in strings(given["TRUSTED_PROXIES"])
    values |= _metas(values, errors)
    if not debug:
        errors += _unprotected(values.get("webhooks", {}))
    counter = values["counter"]
    known = counter == "memory" or counter.startswith("redis+cluster://") or counter in caches
    if not known:
        errors.append(
            SettingError(
                "unknown_alias",
                counter,
                f"CACHES has no alias {counter!r}.",
                'Write an alias of CACHES (django-redis), "memory", or redis+cluster://host:port.',
                field="COUNTER",
            )
        )
    return Settings(**values), errors


def given() -> Mapping[str, object]:
    """The project's ``APIGUARD`` dict as it stands.

    Raises:
        ImproperlyConfigured: it is not a dict.
    """
    value = getattr(django_settings, "APIGUARD", {})
    if not isinstance(value, Mapping):
        raise ImproperlyConfigured("APIGUARD is not a dict.")
    return value


_current: Settings | None = None
# The same by whether tests run.
_in_force: dict[bool, Settings] = {}


def current() -> Settings:
    """The settings in force.

    Raises:
        ImproperlyConfigured: a member has a wrong value; all of them are named.
    """
    global _current
    if _current is None:
        parsed, errors = parse(
            given(), getattr(django_settings, "CACHES", {}), debug=bool(django_settings.DEBUG)
        )
        wrong = [error for error in errors if error.code != "unknown_setting"]
        if wrong:
            raise ImproperlyConfigured(
                " ".join(f"APIGUARD[{error.field!r}]: {error}" for error in wrong)
            )
        _current = parsed
        _in_force.update({False: replace(parsed, testing=False), True: _while_testing(parsed)})
    testing = _current.testing
    return _in_force[test_run.is_detected() if testing is None else testing]


def _while_testing(settings: Settings) -> Settings:
    return replace(settings, testing=True, counter="memory", policy_max_age=None)


def _refresh(*, setting: str, **_: object) -> None:
    global _current
    if setting in ("APIGUARD", "CACHES", "DEBUG"):
        _current = None


setting_changed.connect(_refresh, dispatch_uid="apiguard.conf")
