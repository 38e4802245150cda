"""What the ``CORS_*`` settings of django-cors-headers mean here, value by value.

No row is touched. What no row can express is refused with its reason, and
a notice names what would be permitted beyond the settings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ..errors import OriginError, PolicyError
from ..models.cors import LONGEST_MAX_AGE, check_listed_name
from ..rules.headers import check_method
from ..rules.origins import check_patterns, parse_pattern, pattern_errors
from ..rules.paths import PrefixTable
from .comparison import describe_differences
from .origin_regex import matches_everything, translate

# As django-cors-headers has them where a project says nothing.
DEFAULT_METHODS: Final = ("DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT")
DEFAULT_HEADERS: Final = (
    *("accept", "authorization", "content-type", "user-agent"),
    *("x-csrftoken", "x-requested-with"),
)
# Setting -> what it was called before version 3.5.
FORMER_NAMES: Final[Mapping[str, str]] = {
    "CORS_ALLOW_ALL_ORIGINS": "CORS_ORIGIN_ALLOW_ALL",
    "CORS_ALLOWED_ORIGINS": "CORS_ORIGIN_WHITELIST",
    "CORS_ALLOWED_ORIGIN_REGEXES": "CORS_ORIGIN_REGEX_WHITELIST",
}
KNOWN: Final = frozenset(
    {
        *FORMER_NAMES,
        *FORMER_NAMES.values(),
        "CORS_ALLOW_CREDENTIALS",
        "CORS_ALLOW_HEADERS",
        "CORS_ALLOW_METHODS",
        "CORS_ALLOW_PRIVATE_NETWORK",
        "CORS_EXPOSE_HEADERS",
        "CORS_PREFLIGHT_MAX_AGE",
        "CORS_URLS_REGEX",
    }
)
BY_HAND: Final = "Add what is meant by hand, in the admin."


@dataclass(slots=True)
class Reading:
    """What the settings say.

    ``notices`` tell of what became something a little different, ``refused`` of
    what became nothing; ``field`` of each is the name of the setting.
    """

    policy: dict[str, Any] = field(default_factory=dict)
    origins: list[str] = field(default_factory=list)
    prefixes: tuple[str, ...] | None = None
    notices: list[PolicyError] = field(default_factory=list)
    refused: list[PolicyError] = field(default_factory=list)


def read(settings: object) -> Reading:
    """Return what a project's settings mean, value by value.

    Args:
        settings: anything whose attributes are settings, such as ``django.conf.settings``.
    """
    reading = Reading()
    given = _Given(settings)
    credentials = given.flag("CORS_ALLOW_CREDENTIALS", reading)
    reading.policy = {
        "allowed_methods": _names(
            given, reading, "CORS_ALLOW_METHODS", DEFAULT_METHODS, check_method
        ),
        "allowed_headers": _names(
            given, reading, "CORS_ALLOW_HEADERS", DEFAULT_HEADERS, check_listed_name
        ),
        "exposed_headers": _names(given, reading, "CORS_EXPOSE_HEADERS", (), check_listed_name),
        "allow_credentials": credentials,
        "max_age": _max_age(given, reading),
        # Foreign requests were served: a project that moves over must not be surprised.
        "refuse_foreign_origins": False,
    }
    for name, origin in _all_origins(given, reading):
        _keep(reading, name, origin, credentials)
    _urls(given, reading)
    _rest(given, reading)
    return reading


class _Given:
    """The settings that a project has, under whichever name."""

    def __init__(self, settings: object) -> None:
        self.settings = settings

    def names(self) -> list[str]:
        return [name for name in dir(self.settings) if name.startswith("CORS_")]

    def find(self, name: str, default: Any = None) -> tuple[str, Any]:
        """Return the name that is in use, and its value."""
        for one in (name, FORMER_NAMES.get(name, name)):
            if hasattr(self.settings, one):
                return one, getattr(self.settings, one)
        return name, default

    def flag(self, name: str, reading: Reading) -> bool:
        used, value = self.find(name, False)
        if not isinstance(value, bool):
            reading.refused.append(_wrong(used, value, "Write True or False."))
        return value is True

    def texts(self, name: str, default: Iterable[str], reading: Reading) -> tuple[str, list[str]]:
        """Return the members of a list of strings; compiled expressions as their text."""
        used, value = self.find(name, tuple(default))
        if isinstance(value, str | bytes) or not isinstance(value, Iterable):
            reading.refused.append(_wrong(used, value, "Write a list of strings."))
            return used, []
        items = [item.pattern if isinstance(item, re.Pattern) else item for item in value]
        wrong = [item for item in items if not isinstance(item, str)]
        reading.refused += [_wrong(used, item, "Write a list of strings.") for item in wrong]
        return used, list(dict.fromkeys(item for item in items if isinstance(item, str)))


def _wrong(name: str, value: object, hint: str) -> PolicyError:
    reason = f"{str(value)[:200]!r} is not a value of this setting."
    return PolicyError("wrong_type", value, reason, hint, field=name)


def _names(
    given: _Given,
    reading: Reading,
    name: str,
    default: Iterable[str],
    check: Callable[[str], object],
) -> list[str]:
    """Methods or header names, as rows have them."""
    used, texts = given.texts(name, default, reading)
    kept = []
    for text in texts:
        try:
            check(text)
        except PolicyError as error:
            (reading.notices if error.suggestion else reading.refused).append(error.at(used))
            text = error.suggestion or ""
        kept.append(text)
    return list(dict.fromkeys(text for text in kept if text))


def _max_age(given: _Given, reading: Reading) -> int:
    used, value = given.find("CORS_PREFLIGHT_MAX_AGE", 86400)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LONGEST_MAX_AGE:
        reading.refused.append(_wrong(used, value, f"Write 0 to {LONGEST_MAX_AGE:,} seconds."))
        return 86400
    if value == 0:
        reason = "0 left the header out, and browsers remembered preflights for 5 seconds."
        hint = "The policy says 0: browsers remember nothing."
        reading.notices.append(PolicyError("max_age_zero", value, reason, hint, field=used))
    return value


def _all_origins(given: _Given, reading: Reading) -> Iterable[tuple[str, str]]:
    """Setting -> a pattern of it, errors not yet looked for."""
    if given.flag("CORS_ALLOW_ALL_ORIGINS", reading):
        yield given.find("CORS_ALLOW_ALL_ORIGINS")[0], "*"
    used, texts = given.texts("CORS_ALLOWED_ORIGINS", (), reading)
    for text in texts:
        if "*" in text:
            # It permitted nothing there, and would permit a lot here.
            reason = "A * was no wildcard in this setting: it matched no origin."
            reading.refused.append(OriginError("wildcard", text, reason, BY_HAND, field=used))
        elif "://" not in text and text != "null":
            yield from ((used, origin) for origin in _both_schemes(used, text, reading))
        else:
            yield used, text
    used, texts = given.texts("CORS_ALLOWED_ORIGIN_REGEXES", (), reading)
    for text in texts:
        yield from ((used, pattern) for pattern in _translated(used, text, reading))


def _both_schemes(name: str, host: str, reading: Reading) -> tuple[str, ...]:
    """Return the origins of a host without a scheme, as versions before 3.0 permitted them."""
    origins = (f"https://{host}", f"http://{host}")
    if any(pattern_errors(origin) for origin in origins):
        return (host,)  # The error of the text as it stands is the clearer one.
    reason = "Without a scheme it permitted this host over https and over http."
    instead = f"It became {' and '.join(origins)}."
    reading.notices.append(OriginError("no_scheme", host, reason, instead, field=name))
    return origins


def _translated(name: str, regex: str, reading: Reading) -> tuple[str, ...]:
    found = translate(regex)
    if found is None:
        if matches_everything(regex):
            reason = "This expression permits every origin."
            hint = "If that is meant, set CORS_ALLOW_ALL_ORIGINS, without credentials."
        else:
            reason = "No pattern means the same as this expression."
            hint = "List the origins, or write *. before a domain to permit all its subdomains."
        reading.refused.append(OriginError("regular_expression", regex, reason, hint, field=name))
        return ()
    instead = f"It became {', '.join(found.patterns)}."
    reading.notices += [
        OriginError("translated", regex, difference, instead, field=name)
        for difference in found.differences
    ]
    return found.patterns


def _keep(reading: Reading, name: str, text: str, credentials: bool) -> None:
    """Keep one pattern, in its accepted spelling, unless it is refused."""
    errors = pattern_errors(text)
    pattern = errors[0].suggestion if errors else text
    if pattern is None:
        reading.refused += [error.at(name) for error in errors]
        return
    dangers = check_patterns([parse_pattern(pattern)], allow_credentials=credentials)
    if dangers:
        reading.refused += [danger.at(name) for danger in dangers]
        return
    reading.notices += [error.at(name) for error in errors]
    if pattern not in reading.origins:
        reading.origins.append(pattern)


_PREFIX = re.compile(r"\^?(/[\w/-]*?)(?:/?\.\*)?\$?")
_PREFIXES = re.compile(r"\^?(/[\w/-]*)\((?:\?:)?([\w|/-]+)\)(/[\w/-]*?)(?:/?\.\*)?\$?")


def _urls(given: _Given, reading: Reading) -> None:
    """The path prefixes that come closest to an expression for paths."""
    used, value = given.find("CORS_URLS_REGEX", r"^.*$")
    text = value.pattern if isinstance(value, re.Pattern) else value
    if not isinstance(text, str):
        reading.refused.append(_wrong(used, value, "Write a regular expression."))
        return
    reading.prefixes = _prefixes(text)
    if reading.prefixes is None:
        reason = "Routes are path prefixes, and this expression is none."
        hint = "Choose the policy on the routes that are meant."
        reading.refused.append(PolicyError("no_prefix", text, reason, hint, field=used))
        return
    instead = f"As a route it is {', '.join(reading.prefixes)}."
    reading.notices += [
        PolicyError("other_paths", text, difference, instead, field=used)
        for difference in _path_differences(text, reading.prefixes)
    ]


def _prefixes(regex: str) -> tuple[str, ...] | None:
    if regex in (r"^.*$", ".*", "", "^", r"^/.*$", "^/"):
        return ("/",)
    if found := _PREFIX.fullmatch(regex):
        return (_closed(found[1]),)
    if found := _PREFIXES.fullmatch(regex):
        return tuple(_closed(f"{found[1]}{one}{found[3]}") for one in found[2].split("|"))
    return None


def _path_differences(regex: str, prefixes: tuple[str, ...]) -> list[str]:
    """Which paths the expression and the routes of the prefixes treat differently."""
    routes = PrefixTable({prefix: prefix for prefix in prefixes})
    examples = [prefix + end for prefix in prefixes for end in ("", "x", "x/", "x/y")]
    # A prefix ends at a slash; an expression may go on within the same name.
    examples += [
        prefix.rstrip("/") + end for prefix in prefixes if prefix != "/" for end in ("x", "-x/")
    ]
    matches = re.compile(regex).match
    return describe_differences(
        lambda path: matches(path) is not None, lambda path: routes.find(path) is not None, examples
    )


def _closed(path: str) -> str:
    return path if path.endswith("/") else f"{path}/"


def _rest(given: _Given, reading: Reading) -> None:
    """What has no counterpart at all."""
    if given.flag("CORS_ALLOW_PRIVATE_NETWORK", reading):
        reason = "Private Network Access was given up by browsers; no header is sent for it."
        error = PolicyError("private_network", True, reason, field="CORS_ALLOW_PRIVATE_NETWORK")
        reading.refused.append(error)
    for name in given.names():
        if name not in KNOWN:
            value = getattr(given.settings, name)
            reason = "This setting has no counterpart in rows."
            reading.refused.append(PolicyError("unknown", value, reason, field=name))
