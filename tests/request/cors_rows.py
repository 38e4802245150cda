"""What a row of the table of CORS is, and how rows are written down in one line.

``{own}``, ``{page}`` and ``{stranger}`` stand for origins that only the driver
knows: the site itself, and two others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .cors_policies import LISTED, POLICIES

PAGE = "http://localhost:8123"
STRANGER = "http://stranger.localhost:8123"
PREFLIGHT_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


@dataclass(frozen=True, slots=True)
class Fetch:
    """What a script asks for to make this request, and whether it may read the answer."""

    readable: bool
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    credentials: str = "omit"
    sees: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """One row: ``expected`` is every CORS header of the answer, and its ``Vary``."""

    id: str
    path: str
    method: str
    headers: tuple[tuple[str, str], ...]
    status: int
    expected: Mapping[str, str]
    # Servers trim, split or refuse this before anybody sees it.
    in_process_only: bool = False
    fetch: Fetch | None = None

    @property
    def is_preflight(self) -> bool:
        return self.expected.get("vary") == PREFLIGHT_VARY

    def with_origins(self, own: str, page: str = PAGE, stranger: str = STRANGER) -> Case:
        """The row with its stand-ins replaced."""

        def fill(text: str) -> str:
            for name, origin in (("{own}", own), ("{page}", page), ("{stranger}", stranger)):
                text = text.replace(name, origin)
            return text

        headers = tuple((name, fill(value)) for name, value in self.headers)
        expected = {name: fill(value) for name, value in self.expected.items()}
        return Case(self.id, self.path, self.method, headers, self.status, expected)

    @property
    def joined(self) -> dict[str, str]:
        """The headers as WSGI and Django know them: equal names joined by commas."""
        found: dict[str, str] = {}
        for name, value in self.headers:
            found[name] = f"{found[name]},{value}" if name in found else value
        return found


ORIGIN = "access-control-allow-origin"
CREDENTIALS = "access-control-allow-credentials"


def _given(policy: str) -> Mapping[str, Any]:
    return {**LISTED, **POLICIES[policy].fields}


def _grant(policy: str, origin: str) -> dict[str, str]:
    credentials = _given(policy)["allow_credentials"] and origin != "*"
    return {ORIGIN: origin, **({CREDENTIALS: "true"} if credentials else {})}


def _answered(policy: str, origin: str) -> dict[str, str]:
    """The headers of a preflight that is allowed."""
    given = _given(policy)
    lists = {
        "access-control-allow-methods": ", ".join(given["allowed_methods"]),
        "access-control-allow-headers": ", ".join(given["allowed_headers"]),
        "access-control-max-age": str(given["max_age"]),
    }
    listed = {name: value for name, value in lists.items() if value}
    return {**_grant(policy, origin), **listed, "vary": PREFLIGHT_VARY}


def _readable(policy: str, origin: str, vary: str | None = "Origin") -> dict[str, str]:
    """The headers of any other response that an allowed origin gets."""
    exposed = ", ".join(_given(policy)["exposed_headers"])
    return {
        **_grant(policy, origin),
        **({"access-control-expose-headers": exposed} if exposed else {}),
        **({"vary": vary} if vary else {}),
    }


REFUSED_PREFLIGHT = {"vary": PREFLIGHT_VARY}


def ask(
    title: str,
    policy: str,
    origin: str,
    *,
    allowed: str | bool = True,
    method: str = "PUT",
    names: str | None = None,
    more: tuple[tuple[str, str], ...] = (),
    **options: Any,
) -> Case:
    """A preflight; ``allowed`` is the origin that comes back where it is not the same."""
    headers = [("Origin", origin), ("Access-Control-Request-Method", method)]
    if names is not None:
        headers.append(("Access-Control-Request-Headers", names))
    answer = allowed if isinstance(allowed, str) else origin
    expected = _answered(policy, answer) if allowed else REFUSED_PREFLIGHT
    path = options.pop("path", f"/{policy}/ok")
    status = 204 if allowed else 403
    return Case(
        f"preflight: {title}", path, "OPTIONS", (*headers, *more), status, expected, **options
    )


def get(
    title: str,
    policy: str,
    origin: str | None,
    *,
    allowed: str | bool = True,
    status: int | None = None,
    view: str = "ok",
    method: str = "GET",
    vary: str | None = "Origin",
    more: tuple[tuple[str, str], ...] = (),
    **options: Any,
) -> Case:
    """Any other request."""
    headers = () if origin is None else (("Origin", origin),)
    answer = allowed if isinstance(allowed, str) else str(origin)
    granted = _readable(policy, answer, vary) if allowed else ({"vary": vary} if vary else {})
    path = options.pop("path", f"/{policy}/{view}")
    answered = status if status is not None else (200 if allowed else 403)
    return Case(title, path, method, (*headers, *more), answered, granted, **options)


def told(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Every CORS header of a response, and its ``Vary``; each name at most once."""
    found: dict[str, str] = {}
    for name, value in headers:
        lower = name.lower()
        if lower == "vary" or lower.startswith("access-control-"):
            assert lower not in found, f"{name} twice"
            found[lower] = value
    return found
