"""What is wrong with a piece of policy, as a value; and ``LimitExceeded``, for views.

One mistake is one ``PolicyError``. The functions of ``rules/`` raise them or
return lists of them; forms show them at their field, ``compile()`` collects
them for all rows, ``apiguard check`` prints them. They never describe a
request: what a request is refused for is a ``Verdict``.

::

    PolicyError(ValueError)      code, field, value, reason, hint, suggestion
    +-- SettingError             the APIGUARD dict
    +-- PathError                path prefixes
    +-- OriginError              CORS origin patterns
    +-- HeaderError              header names and values, methods
    +-- MediaTypeError           media types and ranges
    +-- ScopeError               OAuth scope tokens
    +-- NetworkError             addresses and networks
    +-- RateError                rates, periods, costs
    +-- IssuerError              token issuers, their keys and secrets
    +-- BrokenReference          a row that refers to a missing or broken one
    +-- DocumentError            a file of policy
"""

from __future__ import annotations

from typing import Any, Self


class LimitExceeded(Exception):
    """A view asked for more units than a limit of its caller admits.

    The middleware answers 429 if nobody catches it.

    Args:
        limits: names of the limits that are exceeded.
        retry_after: seconds until the units fit.
        verdict: the decision that the middleware answers with.
    """

    def __init__(self, limits: tuple[str, ...], retry_after: int, verdict: object = None) -> None:
        super().__init__(f"{', '.join(limits) or 'limits'}: again in {retry_after} s")
        self.limits, self.retry_after, self.verdict = limits, retry_after, verdict


class PolicyError(ValueError):
    """One mistake in a policy row or a setting.

    Args:
        code: stable identifier in snake_case, for tests and scripts.
        value: what was given, as it was given.
        reason: one sentence, what is wrong with it.
        hint: one sentence, what to do instead.
        field: name of the model field or setting, if known.
        suggestion: a spelling that would be accepted, if there is one.
    """

    def __init__(
        self,
        code: str,
        value: object,
        reason: str,
        hint: str = "",
        *,
        field: str = "",
        suggestion: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.code = code
        self.value = value
        self.reason = reason
        self.hint = hint
        self.field = field
        self.suggestion = suggestion

    def at(self, field: str) -> Self:
        """Return the same mistake with ``field`` as the field that has it."""
        return type(self)(
            self.code,
            self.value,
            self.reason,
            self.hint,
            field=field,
            suggestion=self.suggestion,
        )

    def _identity(self) -> tuple[Any, ...]:
        return (
            type(self),
            self.code,
            self.field,
            repr(self.value),
            self.reason,
            self.hint,
            self.suggestion,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PolicyError) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __str__(self) -> str:
        return f"{self.reason} {self.hint}".strip()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.code!r}, {self.value!r}, field={self.field!r})"

    def as_dict(self) -> dict[str, Any]:
        """Return the mistake as JSON-ready members, for ``--json`` outputs."""
        return {
            "code": self.code,
            "field": self.field,
            "value": self.value if isinstance(self.value, str) else repr(self.value),
            "reason": self.reason,
            "hint": self.hint,
            "suggestion": self.suggestion,
        }


class SettingError(PolicyError):
    """A member of the ``APIGUARD`` dict is unknown or has a wrong value."""


class PathError(PolicyError):
    """A path prefix that no request path can have, or that is ambiguous."""


class OriginError(PolicyError):
    """A CORS origin pattern that is malformed, or that grants too much."""


class HeaderError(PolicyError):
    """A header name, header value or method that HTTP does not allow."""


class MediaTypeError(PolicyError):
    """A media type or range that RFC 9110 section 8.3 does not allow."""


class ScopeError(PolicyError):
    """A scope that RFC 6749 section 3.3 or the registry does not allow."""


class NetworkError(PolicyError):
    """An address or network that cannot be read."""


class RateError(PolicyError):
    """A rate, a period or a cost that cannot be counted."""


class IssuerError(PolicyError):
    """A token issuer whose tokens could not be judged safely."""


class BrokenReference(PolicyError):
    """A row that refers to one which is missing or broken."""


class DocumentError(PolicyError):
    """A file that cannot be read as policy; ``position`` is the line and column, if known."""

    def __init__(
        self, *mistake: Any, position: tuple[int, int] | None = None, **named: Any
    ) -> None:
        super().__init__(*mistake, **named)
        self.position = position

    def at(self, field: str) -> Self:
        """Return the same mistake, at the same position, with another ``field``."""
        moved = super().at(field)
        moved.position = self.position
        return moved

    def __str__(self) -> str:
        line = (
            "" if self.position is None else f"line {self.position[0]}, column {self.position[1]}"
        )
        place = ", ".join(part for part in (line, self.field) if part)
        meant = f"Did you mean {self.suggestion!r}?" if self.suggestion else ""
        text = " ".join(part for part in (self.reason, self.hint, meant) if part)
        return f"{place}: {text}" if place else text

    def as_dict(self) -> dict[str, Any]:
        """Return the same with ``line`` and ``column``."""
        line, column = self.position or (None, None)
        return {**super().as_dict(), "line": line, "column": column}
