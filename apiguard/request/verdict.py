"""What a stage may answer: let it pass, or one of these outcomes.

An ``Outcome`` says exactly what happened, for operators: logs, metrics and
explanations. The caller gets the outcome's ``Refusal``, which is
coarser on purpose: every bad key reads the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

Header = tuple[str, str]


class Outcome(StrEnum):
    """What was decided about a request, and why."""

    # That of Enum is written in Python, and looked up several times a request.
    __hash__ = str.__hash__

    ADMITTED = "admitted"
    ADDRESS_BLOCKED = "address_blocked"
    PREFLIGHT_ANSWERED = "preflight_answered"
    # What runs behind the guard answered 401, 403 or 429.
    VIEW_ANSWERED = "view_answered"
    PREFLIGHT_FOREIGN_ORIGIN = "preflight_foreign_origin"
    PREFLIGHT_METHOD = "preflight_method"
    PREFLIGHT_HEADER = "preflight_header"
    FOREIGN_ORIGIN = "foreign_origin"
    BAD_CONTENT_LENGTH = "bad_content_length"
    HOST_NOT_ALLOWED = "host_not_allowed"
    METHOD_NOT_LISTED = "method_not_listed"
    LENGTH_REQUIRED = "length_required"
    MEDIA_TYPE_NOT_ACCEPTED = "media_type_not_accepted"
    BODY_TOO_LARGE = "body_too_large"
    BODY_UNREADABLE = "body_unreadable"
    NOT_ACCEPTABLE = "not_acceptable"
    CREDENTIAL_MALFORMED = "credential_malformed"
    TWO_CREDENTIALS = "two_credentials"
    TOKEN_REFUSED = "token_refused"
    TOKEN_EXPIRED = "token_expired"
    TOKEN_USER_UNKNOWN = "token_user_unknown"
    KEY_MALFORMED = "key_malformed"
    KEY_UNKNOWN = "key_unknown"
    KEY_WRONG_SECRET = "key_wrong_secret"
    KEY_BROKEN = "key_broken"
    KEY_TEST_NOT_ALLOWED = "key_test_not_allowed"
    KEY_REVOKED = "key_revoked"
    KEY_EXPIRED = "key_expired"
    KEY_NOT_YET_VALID = "key_not_yet_valid"
    KEY_WRONG_NETWORK = "key_wrong_network"
    CLIENT_DISABLED = "client_disabled"
    CLIENT_WRONG_NETWORK = "client_wrong_network"
    OWNER_INACTIVE = "owner_inactive"
    TOO_MANY_BAD_CREDENTIALS = "too_many_bad_credentials"
    PEPPER_UNKNOWN = "pepper_unknown"
    LOOK_UP_FAILED = "look_up_failed"
    ISSUER_KEYS_AWAY = "issuer_keys_away"
    POLICY_UNAVAILABLE = "policy_unavailable"
    POLICY_BROKEN = "policy_broken"
    ROUTE_CLOSED = "route_closed"
    PATH_REWRITTEN = "path_rewritten"
    LIMIT_EXCEEDED = "limit_exceeded"
    COUNTER_AWAY = "counter_away"
    NO_CREDENTIAL = "no_credential"
    SCOPE_MISSING = "scope_missing"


class Refusal(NamedTuple):
    """The answer to the caller: status, error code, text."""

    status: int
    error: str
    detail: str


_ORIGIN = Refusal(403, "origin_not_allowed", "The origin is not allowed")
_CREDENTIAL = Refusal(400, "invalid_request", "The credential is malformed")
_TOKEN = Refusal(401, "invalid_token", "The access token is invalid")
_KEY = Refusal(401, "invalid_api_key", "The API key is invalid")
_UNAVAILABLE = Refusal(503, "service_unavailable", "The service is unavailable, try again later")

REFUSALS: dict[Outcome, Refusal] = {
    Outcome.ADDRESS_BLOCKED: Refusal(403, "address_blocked", "The address is blocked"),
    Outcome.PREFLIGHT_FOREIGN_ORIGIN: _ORIGIN,
    Outcome.PREFLIGHT_METHOD: _ORIGIN._replace(detail="The method is not allowed for this origin"),
    Outcome.PREFLIGHT_HEADER: _ORIGIN._replace(detail="A header is not allowed for this origin"),
    Outcome.FOREIGN_ORIGIN: _ORIGIN,
    Outcome.BAD_CONTENT_LENGTH: Refusal(400, "invalid_request", "Content-Length is malformed"),
    Outcome.HOST_NOT_ALLOWED: Refusal(400, "invalid_request", "The request is malformed"),
    Outcome.METHOD_NOT_LISTED: Refusal(405, "method_not_allowed", "The method is not allowed here"),
    Outcome.LENGTH_REQUIRED: Refusal(411, "length_required", "A body needs a Content-Length"),
    Outcome.MEDIA_TYPE_NOT_ACCEPTED: Refusal(
        415, "unsupported_media_type", "The Content-Type is not accepted here"
    ),
    Outcome.BODY_TOO_LARGE: Refusal(413, "payload_too_large", "The body is too large"),
    Outcome.BODY_UNREADABLE: Refusal(400, "invalid_request", "The body cannot be read"),
    Outcome.NOT_ACCEPTABLE: Refusal(
        406, "not_acceptable", "Nothing that is produced here satisfies Accept"
    ),
    Outcome.CREDENTIAL_MALFORMED: _CREDENTIAL,
    Outcome.TWO_CREDENTIALS: _CREDENTIAL._replace(detail="More than one credential was sent"),
    Outcome.TOKEN_REFUSED: _TOKEN,
    Outcome.TOKEN_EXPIRED: _TOKEN._replace(detail="The access token expired"),
    Outcome.TOKEN_USER_UNKNOWN: _TOKEN,
    Outcome.KEY_MALFORMED: _KEY,
    Outcome.KEY_UNKNOWN: _KEY,
    Outcome.KEY_WRONG_SECRET: _KEY,
    Outcome.KEY_BROKEN: _KEY,
    Outcome.KEY_TEST_NOT_ALLOWED: _KEY,
    Outcome.KEY_REVOKED: _KEY,
    Outcome.KEY_EXPIRED: _KEY,
    Outcome.KEY_NOT_YET_VALID: _KEY,
    Outcome.KEY_WRONG_NETWORK: _KEY,
    Outcome.CLIENT_DISABLED: _KEY,
    Outcome.CLIENT_WRONG_NETWORK: _KEY,
    Outcome.OWNER_INACTIVE: _KEY,
    Outcome.TOO_MANY_BAD_CREDENTIALS: Refusal(
        429, "too_many_requests", "Too many invalid credentials, try again later"
    ),
    Outcome.PEPPER_UNKNOWN: _UNAVAILABLE,
    Outcome.LOOK_UP_FAILED: _UNAVAILABLE,
    Outcome.ISSUER_KEYS_AWAY: _UNAVAILABLE,
    Outcome.POLICY_UNAVAILABLE: _UNAVAILABLE,
    Outcome.POLICY_BROKEN: _UNAVAILABLE,
    Outcome.ROUTE_CLOSED: _UNAVAILABLE._replace(detail="The service is closed, try again later"),
    Outcome.PATH_REWRITTEN: _UNAVAILABLE,
    Outcome.COUNTER_AWAY: _UNAVAILABLE,
    Outcome.LIMIT_EXCEEDED: Refusal(429, "too_many_requests", "Rate limit exceeded"),
    Outcome.NO_CREDENTIAL: Refusal(
        401, "unauthorized", "Authentication credentials were not provided"
    ),
    Outcome.SCOPE_MISSING: Refusal(
        403, "insufficient_permissions", "The credential lacks a required scope"
    ),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided about a request.

    Attributes:
        outcome: what happened.
        reason: why, for operators; never sent to the caller.
        detail: the text for the caller, instead of the refusal's own.
        headers: response headers that belong to this decision.
        retry_after: whole seconds, where waiting helps.
        violated: names of the limits that were exceeded.
        enforced: false where the route only observes.
        refused: whether this would refuse the request, enforced or not.
    """

    outcome: Outcome
    reason: str = ""
    detail: str = ""
    headers: tuple[Header, ...] = ()
    retry_after: int | None = None
    violated: tuple[str, ...] = ()
    enforced: bool = True
    refused: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "refused", self.outcome in REFUSALS)

    @property
    def refusal(self) -> Refusal | None:
        """The answer to the caller, or ``None`` if nothing was refused."""
        refusal = REFUSALS.get(self.outcome)
        if refusal is not None and self.detail:
            return refusal._replace(detail=self.detail)
        return refusal

    @property
    def all_headers(self) -> tuple[Header, ...]:
        """The decision's headers, ``Retry-After`` among them."""
        if self.retry_after is None:
            return self.headers
        return (*self.headers, ("Retry-After", str(self.retry_after)))


ADMITTED = Verdict(Outcome.ADMITTED)
OBSERVED = Verdict(Outcome.ADMITTED, enforced=False)


def look_up_failed(reason: str) -> Verdict:
    """Return the verdict on a credential that cannot be verified now."""
    return Verdict(Outcome.LOOK_UP_FAILED, reason=reason, retry_after=1)
