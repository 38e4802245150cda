"""The attack table: tokens that must not get in, and the one reason why each of them does not.

Every row is driven through the pure verifier, the middleware and DRF. A row's
token is made when it is asked for, since some are only wrong for what time it is.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from apiguard.models import JwtIssuer
from apiguard.request.verdict import Outcome
from apiguard.rules.jwt import MAX_TOKEN_LENGTH, TokenProblem
from tests.signing import SECRET, b64, encoded, jwk_of, private_key, public_jwk, sign

P = TokenProblem
SECRETS: dict[str, Any] = {
    "hs": SECRET,
    "other": SECRET[::-1],
    "at": SECRET + "at",
    "brief": SECRET + "brief",
}
STRICT = {"client_id": "orders", "token_use": "access", "tenant": {"id": "t1"}, "level": 1}


@cache
def issuers() -> tuple[JwtIssuer, ...]:
    """One issuer of every family, several at once, each known by its short name."""

    def row(name: str, algorithms: list[str], **fields: Any) -> JwtIssuer:
        values = {"name": name, "issuer": iss(name), "audiences": ["orders"], **fields}
        return JwtIssuer(algorithms=algorithms, **values)

    def published(*jwks: Any) -> dict[str, Any]:
        return {"keys": list(jwks)}

    return (
        row("hs", ["HS256"], secret_name="hs"),
        row("other", ["HS256", "HS384"], secret_name="other"),
        row("at", ["HS256"], secret_name="at", token_types=["at+jwt"]),
        row("brief", ["HS256"], secret_name="brief", max_lifetime=600),
        row("off", ["HS256"], secret_name="hs", enabled=False),
        row("jwt", ["HS256"], secret_name="hs", token_types=["JWT"]),
        row(
            "strict",
            ["HS256"],
            secret_name="hs",
            audience_claim="client_id",
            required_claims={"token_use": "access", "tenant.id": ["t1", "t2"], "level": 1},
        ),
        row("rs", ["RS256"], jwks=published(public_jwk("RS256", "r1"))),
        row("ps", ["PS256"], jwks=published(public_jwk("RS256", "r1"))),
        row(
            "es",
            ["ES256", "ES384"],
            jwks=published(
                public_jwk("ES256", "e1"),
                public_jwk("ES256", "e2", 2),
                public_jwk("ES384", "e3"),
                {**public_jwk("ES256", "enc", 3), "use": "enc"},
                {**public_jwk("ES256", "ops", 4), "key_ops": ["deriveKey"]},
            ),
        ),
        row("ed", ["EdDSA"], jwks=published(public_jwk("EdDSA", None))),
    )


def iss(name: str) -> str:
    return f"https://{name}.example"


def claims(name: str, **changed: Any) -> dict[str, Any]:
    """Good claims for an issuer; ``None`` leaves one out, ``NULL`` makes it null."""
    now = int(time.time())
    good = {"iss": iss(name), "aud": "orders", "sub": "alice", "iat": now, "exp": now + 300}
    good |= STRICT if name == "strict" else {}
    members = {key: value for key, value in {**good, **changed}.items() if value is not None}
    return {key: None if value is NULL else value for key, value in members.items()}


NULL = object()


def key_of(name: str) -> Any:
    name = "hs" if name in ("jwt", "strict") else name
    return SECRETS[name].encode() if name in SECRETS else None


def token(name: str = "hs", header: dict[str, Any] | None = None, **changed: Any) -> str:
    """A token that the issuer would have signed, with these claims."""
    algorithm = {"rs": "RS256", "ps": "PS256", "es": "ES256", "ed": "EdDSA"}.get(name, "HS256")
    kid = {"rs": {"kid": "r1"}, "ps": {"kid": "r1"}, "es": {"kid": "e1"}}.get(name, {})
    typ = {"at": {"typ": "at+jwt"}, "jwt": {"typ": "JWT"}}.get(name, {})
    head = {"alg": algorithm, **kid, **typ, **(header or {})}
    return sign(head, claims(name, **changed), algorithm, key_of(name))


def raw(header: object, body: object | None = None) -> str:
    """Signed by the first issuer: these bytes."""
    return sign(header, claims("hs") if body is None else body, "HS256", key_of("hs"))


HS = {"alg": "HS256"}


@dataclass(frozen=True, slots=True)
class Attack:
    """``outcome`` is what the doors say; ``problem`` what the verifier finds."""

    name: str
    token: Callable[[], str]
    problem: TokenProblem
    outcome: Outcome = Outcome.TOKEN_REFUSED


def attacks() -> Iterator[Attack]:
    for name, text, problem in (*_outlines(), *_headers(), *_confusions(), *_keys()):
        yield Attack(name, _later(text), problem)
    for name, text, problem in (*_signatures(), *_claims(), *_kinds(), *_times(), *_documents()):
        outcome = Outcome.TOKEN_EXPIRED if problem is P.EXPIRED else Outcome.TOKEN_REFUSED
        yield Attack(name, _later(text), problem, outcome)
    for name, text in _torn():
        yield Attack(name, _later(text), P.BAD_BASE64, Outcome.CREDENTIAL_MALFORMED)


Row = tuple[str, str | Callable[[], str], TokenProblem]


def _later(text: str | Callable[[], str]) -> Callable[[], str]:
    return text if callable(text) else lambda: text


def _parts(text: str) -> tuple[str, str, str]:
    header, body, signature = text.split(".")
    return header, body, signature


def _with(text: str, at: int, part: str | Callable[[str], str]) -> str:
    parts = list(_parts(text))
    parts[at] = part(parts[at]) if callable(part) else part
    return ".".join(parts)


# -- what is no token ---------------------------------------------------------------


def _outlines() -> Iterator[Row]:
    yield "one word", "token", P.NOT_THREE_SEGMENTS
    yield "two segments", "a.b", P.NOT_THREE_SEGMENTS
    yield "four segments", lambda: token() + ".AAAA", P.NOT_THREE_SEGMENTS
    yield "five segments: encrypted", "a.b.c.d.e", P.NOT_THREE_SEGMENTS
    yield "dots alone", "..", P.BAD_BASE64
    yield "more than 8 KiB", lambda: token(note="x" * MAX_TOKEN_LENGTH), P.TOO_LONG
    yield "a signature without end", lambda: token() + "A" * MAX_TOKEN_LENGTH, P.TOO_LONG
    yield "no header", lambda: _with(token(), 0, ""), P.BAD_BASE64
    yield "no payload", lambda: _with(token(), 1, ""), P.BAD_BASE64
    yield "no signature", lambda: _with(token(), 2, ""), P.BAD_BASE64
    yield "padding after the signature", lambda: token() + "=", P.BAD_BASE64
    yield "padding inside", lambda: _with(token(), 1, lambda part: part + "="), P.BAD_BASE64
    yield "the other alphabet", lambda: _with(token(), 2, "ab+/"), P.BAD_BASE64
    yield "an impossible length", lambda: _with(token(), 2, "abcde"), P.BAD_BASE64
    yield "unused bits that are set", lambda: _with(token(), 2, "abcdeR"), P.BAD_BASE64
    yield "letters beyond ASCII", lambda: _with(token(), 2, "abc\u00e9"), P.BAD_BASE64
    yield "NUL", lambda: token() + "\x00", P.BAD_BASE64
    yield "percent encoding", lambda: token().replace(".", "%2E"), P.NOT_THREE_SEGMENTS
    yield "JSON serialization", '{"payload":""}', P.NOT_THREE_SEGMENTS
    yield "header is no object", lambda: raw(b"[]"), P.NOT_AN_OBJECT
    yield "header is a string", lambda: raw(b'"HS256"'), P.NOT_AN_OBJECT
    yield "payload is no object", lambda: raw(HS, b'["iss"]'), P.NOT_AN_OBJECT
    yield "payload is null", lambda: raw(HS, b"null"), P.NOT_AN_OBJECT
    yield "payload is text", lambda: raw(HS, b"alice"), P.BAD_JSON


def _torn() -> Iterator[tuple[str, Callable[[], str]]]:
    yield "white space inside", lambda: token().replace(".", ". ", 1)
    yield "a comma inside", lambda: token().replace(".", ".,", 1)
    yield "a line end inside", lambda: token().replace(".", ".\n", 1)
    yield "a tab inside", lambda: token().replace(".", ".\t", 1)


# -- the header ---------------------------------------------------------------------


def _headers() -> Iterator[Row]:
    evil = jwk_of("ES256", private_key("ES256", 9).public_key())
    own_secret = {"kty": "oct", "k": b64(b"x" * 64)}

    def forged(name: str, value: object) -> str:
        """Signed with a key of the attacker's, which the header brings or points at."""
        header = {"alg": "ES256", "kid": "e1", name: value}
        return sign(header, claims("es"), "ES256", private_key("ES256", 9))

    yield "its own key in jwk", lambda: forged("jwk", evil), P.BAD_SIGNATURE
    yield (
        "its own secret in jwk",
        (lambda: sign({**HS, "jwk": own_secret}, claims("hs"), "HS256", b"x" * 64)),
        P.BAD_SIGNATURE,
    )
    for name, value in [
        ("jku", "https://evil.example/keys"),
        ("x5u", "https://evil.example/cert"),
        ("x5c", ["MIIB"]),
        ("x5t", "AAAA"),
        ("x5t#S256", "AAAA"),
    ]:
        yield f"{name} of a key of its own", partial(forged, name, value), P.BAD_SIGNATURE
    yield "crit that nobody knows", lambda: token(header={"crit": ["x"], "x": 1}), P.CRIT
    yield "crit that is empty", lambda: token(header={"crit": []}), P.CRIT
    yield "crit exp", lambda: token(header={"crit": ["exp"], "exp": 1}), P.CRIT
    yield "b64 false", lambda: token(header={"b64": False}), P.B64
    yield "b64 true", lambda: token(header={"b64": True}), P.B64
    yield "zip", lambda: token(header={"zip": "DEF"}), P.ZIP
    yield "nested: cty JWT", lambda: raw({**HS, "cty": "JWT"}, token().encode()), P.BAD_JSON
    yield "no alg", lambda: raw({"typ": "JWT"}), P.BAD_ALG
    yield "alg null", lambda: raw({"alg": None}), P.BAD_ALG
    yield "a list of algs", lambda: raw({"alg": ["HS256"]}), P.BAD_ALG
    yield "alg as a number", lambda: raw({"alg": 256}), P.BAD_ALG
    yield "two algs", lambda: raw(b'{"alg":"none","alg":"HS256"}'), P.DUPLICATE_MEMBER
    yield (
        "two algs, one escaped",
        lambda: raw(b'{"alg":"HS256","\\u0061lg":"none"}'),
        (P.DUPLICATE_MEMBER),
    )
    yield "typ of a DPoP proof", lambda: token(header={"typ": "dpop+jwt"}), P.BAD_TYP
    yield "typ of a logout token", lambda: token(header={"typ": "logout+jwt"}), P.BAD_TYP
    yield "typ of a security event", lambda: token(header={"typ": "secevent+jwt"}), P.BAD_TYP
    yield "typ JOSE+JSON", lambda: token(header={"typ": "JOSE+JSON"}), P.BAD_TYP
    yield "typ null", lambda: token(header={"typ": None}), P.BAD_TYP
    yield "typ true", lambda: token(header={"typ": True}), P.BAD_TYP
    yield "typ empty", lambda: token(header={"typ": ""}), P.BAD_TYP
    yield (
        "an access token of RFC 9068 where the row lists JWT alone",
        (lambda: token("jwt", {"typ": "at+jwt"})),
        P.BAD_TYP,
    )
    yield "RFC 9068: an ID token", lambda: token("at", {"typ": "JWT"}), P.BAD_TYP
    yield "RFC 9068: no typ", lambda: sign(HS, claims("at"), key=key_of("at")), P.BAD_TYP
    yield (
        "RFC 9068: a prefix too many",
        (lambda: token("at", {"typ": "application/application/at+jwt"})),
        P.BAD_TYP,
    )


def _confusions() -> Iterator[Row]:
    def unsigned(alg: str, signature: str = "AA") -> Callable[[], str]:
        body = b64(encoded(claims("hs")))
        return lambda: f"{b64(encoded({'alg': alg}))}.{body}.{signature}"

    for alg in ("none", "None", "NONE", "nOnE", "none ", ""):
        yield f"alg {alg!r}", unsigned(alg), P.ALG_NOT_ALLOWED
    yield "alg none without signature", unsigned("none", ""), P.BAD_BASE64
    yield "alg in lower case", lambda: raw({"alg": "hs256"}), P.ALG_NOT_ALLOWED
    yield "alg with a space", lambda: raw({"alg": "HS256 "}), P.ALG_NOT_ALLOWED
    yield (
        "alg of the other hash",
        (lambda: sign({"alg": "HS384"}, claims("hs"), "HS384", key_of("hs"))),
        P.ALG_NOT_ALLOWED,
    )
    yield (
        "alg of an issuer beside it",
        (lambda: sign({"alg": "HS384"}, claims("hs"), "HS384", key_of("other"))),
        P.ALG_NOT_ALLOWED,
    )
    for alg in ("ES256K", "HS1", "RS1", "dir", "A128KW", "Ed25519"):
        yield f"alg {alg}", partial(raw, {"alg": alg}), P.ALG_NOT_ALLOWED
    for encoding in ("PEM", "DER", "raw JWK"):
        yield (
            f"RS256 to HS256 with the public key ({encoding})",
            partial(_signed_with_public_key, encoding),
            P.ALG_NOT_ALLOWED,
        )
    yield (
        "the public key of one issuer as the secret of another",
        (lambda: sign(HS, claims("hs"), "HS256", _public("PEM"))),
        P.BAD_SIGNATURE,
    )
    yield (
        "PS256 to RS256",
        (lambda: sign({"alg": "RS256", "kid": "r1"}, claims("ps"), "RS256")),
        P.ALG_NOT_ALLOWED,
    )
    yield (
        "RS256 to PS256",
        (lambda: sign({"alg": "PS256", "kid": "r1"}, claims("rs"), "PS256")),
        P.ALG_NOT_ALLOWED,
    )
    yield (
        "an RSA signature called PS256",
        (lambda: _called("PS256", "r1", claims("ps"), "RS256")),
        P.BAD_SIGNATURE,
    )
    yield "EdDSA to ES256", lambda: sign({"alg": "ES256"}, claims("ed"), "ES256"), P.ALG_NOT_ALLOWED


def _called(alg: str, kid: str, body: Any, signed: str) -> str:
    """A header that says ``alg``, a signature that was made with ``signed``."""
    return sign({"alg": alg, "kid": kid}, body, signed)


def _public(encoding: str) -> bytes:
    key = private_key("RS256").public_key()
    if encoding == "raw JWK":
        return json.dumps(public_jwk("RS256", "r1")).encode()
    kind = serialization.Encoding.PEM if encoding == "PEM" else serialization.Encoding.DER
    public: bytes = key.public_bytes(kind, serialization.PublicFormat.SubjectPublicKeyInfo)
    return public


def _signed_with_public_key(encoding: str) -> str:
    return sign({"alg": "HS256", "kid": "r1"}, claims("rs"), "HS256", _public(encoding))


# -- which key ------------------------------------------------------------------------


def _keys() -> Iterator[Row]:
    for kid, what in [
        ("../../dev/null", "a path"),
        ("' UNION SELECT 'secret", "SQL"),
        ("https://evil.example/key", "a URL"),
        ("| id", "a command"),
        ("__class__", "an attribute"),
        ("k" * 256, "256 letters"),
    ]:
        yield f"kid is {what}", partial(token, "rs", {"kid": kid}), P.UNKNOWN_KID
    for kid in ("hs", "other", "r1"):
        yield (
            f"another issuer's secret, kid {kid}",
            partial(sign, {**HS, "kid": kid}, claims("hs"), "HS256", key_of("other")),
            P.BAD_SIGNATURE,
        )
    for value, what in [
        (None, "null"),
        (1, "a number"),
        (["r1"], "a list"),
        ({"r1": 1}, "an object"),
        ("", "empty"),
        ("r1\n", "ended by a newline"),
        ("r1\x00", "ended by NUL"),
        ("r\u00e9", "not ASCII"),
        ("k" * 257, "257 letters"),
    ]:
        yield (
            f"kid is {what}",
            partial(token, "rs", {"kid": value}),
            P.BAD_KID,
        )
    yield "a kid of another issuer", lambda: token("rs", {"kid": "e1"}), P.UNKNOWN_KID
    yield "a kid of the same letters", lambda: token("rs", {"kid": "R1"}), P.UNKNOWN_KID
    yield "a kid where no key has a name", lambda: token("ed", {"kid": "any"}), P.UNKNOWN_KID
    yield (
        "no kid where there are several",
        (lambda: sign({"alg": "ES256"}, claims("es"), "ES256")),
        P.MISSING_KID,
    )
    yield (
        "the kid of a key for another algorithm",
        (lambda: token("es", {"kid": "e3"})),
        P.KID_OF_ANOTHER_ALG,
    )
    yield (
        "the other way round",
        (lambda: sign({"alg": "ES384", "kid": "e1"}, claims("es"), "ES384")),
        P.KID_OF_ANOTHER_ALG,
    )
    yield (
        "an encryption key",
        (
            lambda: sign(
                {"alg": "ES256", "kid": "enc"}, claims("es"), "ES256", private_key("ES256", 3)
            )
        ),
        P.UNKNOWN_KID,
    )
    yield (
        "a key for agreement",
        (
            lambda: sign(
                {"alg": "ES256", "kid": "ops"}, claims("es"), "ES256", private_key("ES256", 4)
            )
        ),
        P.UNKNOWN_KID,
    )
    yield (
        "the key of one kid, the kid of another",
        (lambda: sign({"alg": "ES256", "kid": "e2"}, claims("es"), "ES256")),
        P.BAD_SIGNATURE,
    )
    yield (
        "a key of nobody",
        (
            lambda: sign(
                {"alg": "ES256", "kid": "e1"}, claims("es"), "ES256", private_key("ES256", 9)
            )
        ),
        P.BAD_SIGNATURE,
    )


# -- the signature ----------------------------------------------------------------------


def _signatures() -> Iterator[Row]:
    yield (
        "somebody else's secret",
        (lambda: sign(HS, claims("hs"), "HS256", b"x" * 64)),
        P.BAD_SIGNATURE,
    )
    yield "an empty secret", lambda: sign(HS, claims("hs"), "HS256", b""), P.BAD_SIGNATURE
    yield (
        "another issuer's secret",
        (lambda: sign(HS, claims("hs"), "HS256", key_of("other"))),
        P.BAD_SIGNATURE,
    )
    for name in ("hs", "rs", "ps", "es", "ed"):
        yield (
            f"{name}: another subject than was signed",
            partial(_tampered, name),
            P.BAD_SIGNATURE,
        )
        yield (
            f"{name}: a letter more in the header",
            partial(_changed, name, 0, _spaced),
            P.BAD_SIGNATURE,
        )
        yield (
            f"{name}: the end cut off",
            partial(_changed, name, 2, _cut),
            P.BAD_SIGNATURE,
        )
        yield (
            f"{name}: zeros",
            partial(_changed, name, 2, _zeros),
            P.BAD_SIGNATURE,
        )
        yield (
            f"{name}: the signature of another token",
            partial(_swapped, name),
            P.BAD_SIGNATURE,
        )
    yield (
        "es: r = s = 1",
        (lambda: _with(token("es"), 2, b64((b"\0" * 31 + b"\1") * 2))),
        P.BAD_SIGNATURE,
    )
    yield "es: in DER", lambda: _with(token("es"), 2, _in_der), P.BAD_SIGNATURE
    yield (
        "es: r and s swapped",
        (lambda: _with(token("es"), 2, lambda part: b64(_bytes(part)[32:] + _bytes(part)[:32]))),
        P.BAD_SIGNATURE,
    )
    yield (
        "rs: a zero in front",
        (lambda: _with(token("rs"), 2, lambda part: b64(b"\0" + _bytes(part)))),
        P.BAD_SIGNATURE,
    )
    yield (
        "forged and expired",
        (lambda: sign(HS, claims("hs", exp=1), "HS256", b"x" * 64)),
        P.BAD_SIGNATURE,
    )


def _bytes(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _zeros(part: str) -> str:
    return b64(bytes(len(_bytes(part))))


def _spaced(part: str) -> str:
    return b64(_bytes(part) + b" ")


def _in_der(part: str) -> str:
    pair = _bytes(part)
    r, s = int.from_bytes(pair[:32]), int.from_bytes(pair[32:])
    return b64(encode_dss_signature(r, s))


def _cut(part: str) -> str:
    return part[:40]


def _changed(name: str, at: int, part: Callable[[str], str]) -> str:
    return _with(token(name), at, part)


def _swapped(name: str) -> str:
    return _with(token(name), 2, _parts(token(name, sub="bob"))[2])


def _tampered(name: str) -> str:
    text = token(name)
    body = {**json.loads(_bytes(_parts(text)[1])), "sub": "mallory"}
    return _with(text, 1, b64(encoded(body)))


# -- the claims ---------------------------------------------------------------------------


def _claim(name: str, what: str, value: Any, problem: TokenProblem) -> Row:
    return f"{name} {what}", lambda: token(**{name: value}), problem


def _claims() -> Iterator[Row]:
    yield _claim("iss", "missing", None, P.UNKNOWN_ISSUER)
    yield _claim("iss", "null", NULL, P.UNKNOWN_ISSUER)
    yield _claim("iss", "a list", [iss("hs")], P.UNKNOWN_ISSUER)
    yield _claim("iss", "an object", {"a": 1}, P.UNKNOWN_ISSUER)
    yield _claim("iss", "with a slash more", iss("hs") + "/", P.UNKNOWN_ISSUER)
    yield _claim("iss", "in capitals", iss("hs").upper(), P.UNKNOWN_ISSUER)
    yield _claim("iss", "of nobody", "https://evil.example", P.UNKNOWN_ISSUER)
    yield (
        "an issuer that is switched off",
        (lambda: sign(HS, claims("off"), "HS256", key_of("hs"))),
        P.UNKNOWN_ISSUER,
    )
    yield _claim("iss", "of another issuer", iss("other"), P.BAD_SIGNATURE)
    yield _claim("aud", "missing", None, P.MISSING_AUDIENCE)
    yield _claim("aud", "null", NULL, P.WRONG_AUDIENCE)
    yield _claim("aud", "of others", "payments", P.WRONG_AUDIENCE)
    yield _claim("aud", "the beginning of ours", "order", P.WRONG_AUDIENCE)
    yield _claim("aud", "ours and more", "orders-admin", P.WRONG_AUDIENCE)
    yield _claim("aud", "in capitals", "ORDERS", P.WRONG_AUDIENCE)
    yield _claim("aud", "empty list", [], P.WRONG_AUDIENCE)
    yield _claim("aud", "a list of others", ["a", "b"], P.WRONG_AUDIENCE)
    yield _claim("aud", "a list with a number", ["orders", 1], P.WRONG_AUDIENCE)
    yield _claim("aud", "a list in a list", [["orders"]], P.WRONG_AUDIENCE)
    yield _claim("aud", "an object", {"orders": True}, P.WRONG_AUDIENCE)
    yield _claim("aud", "a wildcard", "*", P.WRONG_AUDIENCE)
    yield _claim("sub", "missing", None, P.BAD_SUBJECT)
    yield _claim("sub", "null", NULL, P.BAD_SUBJECT)
    yield _claim("sub", "empty", "", P.BAD_SUBJECT)
    yield _claim("sub", "a number", 7, P.BAD_SUBJECT)
    yield _claim("sub", "a list", ["alice"], P.BAD_SUBJECT)
    yield _claim("sub", "256 letters", "x" * 256, P.BAD_SUBJECT)
    yield _claim("sub", "with a line end", "alice\nbob", P.BAD_SUBJECT)
    yield _claim("sub", "with NUL", "alice\x00", P.BAD_SUBJECT)
    yield _claim("sub", "written from right to left", "alice\u202e", P.BAD_SUBJECT)


def _kinds() -> Iterator[Row]:
    """Tokens that the issuer really signed, and that are for something else."""
    for name, kind in [
        ("token_type", "refresh"),
        ("token_type", "REFRESH"),
        ("token_type", "refresh_token"),
        ("token_type", ["access", "refresh"]),
        ("token_use", "id"),
        ("token_use", "refresh"),
        ("typ", "Refresh"),
        ("typ", "Refresh-JWT-Token"),
        ("typ", "Serialized-ID"),
        ("typ", "Offline"),
        ("typ", "ID"),
        ("typ", "id_token"),
        ("typ", "Logout"),
    ]:
        yield _claim(name, f"{kind!r}", kind, P.NOT_AN_ACCESS_TOKEN)

    def strict(what: str, problem: TokenProblem, **changed: Any) -> Row:
        return f"required claims: {what}", lambda: token("strict", **changed), problem

    yield strict("another audience", P.WRONG_AUDIENCE, client_id="payments")
    yield strict("the audience in aud alone", P.MISSING_AUDIENCE, client_id=None)
    yield strict("the audience null", P.WRONG_AUDIENCE, client_id=NULL)
    yield strict("an ID token", P.WRONG_CLAIM, token_use="id")
    yield strict("a token of no kind", P.MISSING_CLAIM, token_use=None)
    yield strict("a refresh token", P.NOT_AN_ACCESS_TOKEN, typ="Refresh")
    yield strict("another tenant", P.WRONG_CLAIM, tenant={"id": "t3"})
    yield strict("two tenants", P.WRONG_CLAIM, tenant={"id": "t1,t2"})
    yield strict("a tenant of another name", P.MISSING_CLAIM, tenant={"ID": "t1"})
    yield strict("a tenant where an object is", P.MISSING_CLAIM, tenant="t1")
    yield strict("a tenant as an object", P.WRONG_CLAIM, tenant={"id": {"t1": 1}})
    yield strict("no tenant", P.MISSING_CLAIM, tenant=None)
    yield strict("true for 1", P.WRONG_CLAIM, level=True)
    yield strict("text for a number", P.WRONG_CLAIM, level="1")
    yield strict("an empty list", P.WRONG_CLAIM, level=[])
    yield strict("null", P.WRONG_CLAIM, level=NULL)


def _times() -> Iterator[Row]:
    now = int(time.time())
    yield _claim("exp", "missing", None, P.MISSING_EXP)
    yield _claim("exp", "over", now - 31, P.EXPIRED)
    yield _claim("exp", "long over", 0, P.EXPIRED)
    yield _claim("exp", "null", NULL, P.BAD_TIME)
    yield _claim("exp", "a string", str(now + 300), P.BAD_TIME)
    yield _claim("exp", "true", True, P.BAD_TIME)
    yield _claim("exp", "a list", [now + 300], P.BAD_TIME)
    yield _claim("exp", "negative", -1, P.BAD_TIME)
    yield _claim("exp", "after the year 9999", 253402300800, P.BAD_TIME)
    yield _claim("exp", "in milliseconds", (now + 300) * 1000, P.BAD_TIME)
    yield _claim("nbf", "to come", now + 3600, P.NOT_YET_VALID)
    yield _claim("nbf", "a string", "0", P.BAD_TIME)
    yield _claim("nbf", "false", False, P.BAD_TIME)
    yield _claim("nbf", "null", NULL, P.BAD_TIME)
    yield _claim("iat", "to come", now + 3600, P.ISSUED_IN_FUTURE)
    yield _claim("iat", "a string", "0", P.BAD_TIME)
    yield _claim("iat", "true", True, P.BAD_TIME)
    yield (
        "a lifetime that is too long",
        (lambda: token("brief", exp=int(time.time()) + 3600)),
        P.LIFETIME_TOO_LONG,
    )
    yield "a lifetime that cannot be told", lambda: token("brief", iat=None), P.MISSING_IAT


def _documents() -> Iterator[Row]:
    good = json.dumps(claims("hs")).encode()
    end = good[:-1]
    yield "two subjects", lambda: raw(HS, end + b',"sub":"mallory"}'), P.DUPLICATE_MEMBER
    yield (
        "two members deep inside",
        lambda: raw(HS, end + b',"a":{"b":1,"b":2}}'),
        (P.DUPLICATE_MEMBER),
    )
    yield "a byte order mark", lambda: raw(HS, b"\xef\xbb\xbf" + good), P.BAD_UTF8
    yield "UTF-16", lambda: raw(HS, good.decode().encode("utf-16")), P.BAD_UTF8
    yield "UTF-32", lambda: raw(HS, good.decode().encode("utf-32-le")), P.BAD_JSON
    yield "Latin-1", lambda: raw(HS, end + b',"a":"\xe9"}'), P.BAD_UTF8
    yield "overlong UTF-8", lambda: raw(HS, end + b',"a":"\xc0\xaf"}'), P.BAD_UTF8
    yield "a lone surrogate", lambda: raw(HS, end + rb',"a":"\ud800"}'), P.BAD_UTF8
    yield "NaN", lambda: raw(HS, end + b',"a":NaN}'), P.BAD_NUMBER
    yield "exp Infinity", lambda: raw(HS, end + b',"nbf":-Infinity}'), P.BAD_NUMBER
    yield "an infinite power", lambda: raw(HS, end + b',"a":1e999}'), P.BAD_NUMBER
    yield "5000 digits", lambda: raw(HS, end + b',"a":' + b"9" * 5000 + b"}"), P.BAD_NUMBER
    yield "a comma at the end", lambda: raw(HS, end + b",}"), P.BAD_JSON
    yield "a comment", lambda: raw(HS, good + b"//"), P.BAD_JSON
    yield "two documents", lambda: raw(HS, good + good), P.BAD_JSON
    yield (
        "nested too deep",
        lambda: raw(HS, end + b',"a":' + b"[" * 20 + b"]" * 20 + b"}"),
        (P.TOO_DEEP),
    )
    yield "nested without end", lambda: raw(HS, b"[" * 5000), P.TOO_DEEP


ATTACKS = tuple(attacks())
