"""Why a token is refused, in words for people who configure an issuer."""

from __future__ import annotations

from typing import Any, Final

from django.utils.translation import gettext_lazy as _

from ..rules.jwt import TokenProblem as P

PROBLEM_WORDS: Final[dict[P, Any]] = {
    P.TOO_LONG: _("It is longer than 8 KiB."),
    P.NOT_THREE_SEGMENTS: _(
        "It is no JSON Web Token: three parts with dots between them. Opaque tokens, encrypted "
        "tokens and most refresh tokens are not."
    ),
    P.BAD_BASE64: _("A part of it is not base64url; was it copied whole?"),
    P.BAD_UTF8: _("A part of it is not UTF-8."),
    P.BAD_JSON: _("A part of it is not JSON."),
    P.BAD_NUMBER: _("It has a number that readers of JSON do not read alike."),
    P.DUPLICATE_MEMBER: _("It has a member twice, and readers of JSON do not agree which counts."),
    P.TOO_DEEP: _("It is nested too deep."),
    P.NOT_AN_OBJECT: _("Header and claims have to be JSON objects."),
    P.CRIT: _("Its header demands extensions (crit) that are not supported."),
    P.B64: _("Its header changes the encoding (b64), which is not supported."),
    P.ZIP: _("Its header says that it is compressed (zip), which is not supported."),
    P.BAD_ALG: _("Its header names no algorithm."),
    P.ALG_NOT_ALLOWED: _("This algorithm is not among the algorithms of this issuer."),
    P.BAD_KID: _("It is not 1 to 256 characters of printable ASCII."),
    P.MISSING_KID: _("It names no key, and several keys of the issuer fit."),
    P.UNKNOWN_KID: _("None of the keys that are held has this name. Fetch the keys again."),
    P.KID_OF_ANOTHER_ALG: _("The key of this name is for another algorithm."),
    P.BAD_TYP: _("This type is not among the token types of this issuer."),
    P.BAD_SIGNATURE: _("No key of this issuer signed it, or it was changed since."),
    P.BAD_ISSUER: _("It is missing, or no text."),
    P.UNKNOWN_ISSUER: _("It is not exactly this row's issuer; a trailing slash counts."),
    P.WRONG_ISSUER: _("It is not exactly this row's issuer; a trailing slash counts."),
    P.MISSING_AUDIENCE: _("The token has no such claim. Is another one the audience claim?"),
    P.WRONG_AUDIENCE: _("It names none of this row's audiences: the token is for another API."),
    P.NOT_AN_ACCESS_TOKEN: _("The token says itself that it is no access token."),
    P.MISSING_CLAIM: _("The row requires this claim, and the token does not have it."),
    P.WRONG_CLAIM: _("The row requires another value."),
    P.BAD_SUBJECT: _("It has to be a text of 1 to 255 printable characters."),
    P.MISSING_EXP: _("The token does not say when it expires."),
    P.MISSING_IAT: _("Without it there is no lifetime to compare with the longest lifetime."),
    P.BAD_TIME: _("A time (exp, nbf or iat) is not a number of seconds up to the year 9999."),
    P.NOT_YET_VALID: _("It is not valid yet."),
    P.ISSUED_IN_FUTURE: _("It says that it was issued in the future; compare the clocks."),
    P.LIFETIME_TOO_LONG: _("It lives longer than this row's longest lifetime."),
    P.EXPIRED: _("It has expired."),
}
