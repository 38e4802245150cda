"""The keys and algorithms of token issuers; PyJWT does the cryptography.

One issuer signs with one family of algorithms, so that a public key is never
tried as an HMAC secret (RFC 8725 section 2.1), and ``none`` is in no family.
Verification never raises: what cannot be verified is not verified.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from jwt.algorithms import Algorithm, get_default_algorithms

from ..errors import IssuerError
from .jwt_parse import ParsedToken

FAMILIES: dict[str, tuple[str, ...]] = {
    "HS": ("HS256", "HS384", "HS512"),
    "RS": ("RS256", "RS384", "RS512"),
    "PS": ("PS256", "PS384", "PS512"),
    "ES": ("ES256", "ES384", "ES512"),
    # RFC 9864: names of their own for what EdDSA was.
    "EdDSA": ("EdDSA", "Ed25519", "Ed448"),
}

_HMAC_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
_NAMES = tuple(chain.from_iterable(FAMILIES.values()))
# Without the cryptography package PyJWT knows the HMAC family alone.
_BY_PYJWT = get_default_algorithms()
_ALGORITHMS: dict[str, Algorithm] = {
    name: _BY_PYJWT[known]
    for name in _NAMES
    if (known := "EdDSA" if name in FAMILIES["EdDSA"] else name) in _BY_PYJWT
}
# The length in bytes of the one kind of key that goes with a name of RFC 9864.
_EDWARDS_BYTES = {"Ed25519": 32, "Ed448": 57}


@dataclass(frozen=True, slots=True)
class PreparedKey:
    """A key that was checked once, bound to one algorithm.

    ``older`` are secrets that were replaced and still verify.
    """

    algorithm: str
    key: Any = field(repr=False)
    older: tuple[Any, ...] = field(default=(), repr=False)


def check_algorithms(algorithms: Iterable[str]) -> tuple[str, ...]:
    """``algorithms`` in their order, each once.

    Raises:
        IssuerError: there is none, one is unknown (``none`` included), or they
            are of different families.
    """
    if isinstance(algorithms, str) or not isinstance(algorithms, Iterable):
        raise IssuerError("algorithms_not_a_list", algorithms, "Algorithms are a list of names.")
    names = tuple(dict.fromkeys(_known_algorithm(name) for name in algorithms))
    if not names:
        raise IssuerError("no_algorithm", names, "An issuer signs with at least one algorithm.")
    if not any(set(names) <= set(family) for family in FAMILIES.values()):
        raise IssuerError(
            "mixed_algorithms",
            list(names),
            "The algorithms of an issuer are of one family.",
            "Make one issuer per family: HS, RS, PS, ES or EdDSA.",
        )
    return names


def accepted_algorithms(algorithms: Iterable[str]) -> tuple[str, ...]:
    """Return the values of ``alg`` that stand for these: EdDSA stands for all of its family."""
    names = dict.fromkeys(algorithms)
    return tuple(dict.fromkeys([*names, *(FAMILIES["EdDSA"] if "EdDSA" in names else ())]))


def check_secret(secret: bytes | str, algorithm: str) -> None:
    """Refuse an HMAC secret that is shorter than the hash (RFC 7518 section 3.2).

    Raises:
        IssuerError: it has less than 32, 48 or 64 bytes, or the algorithm uses no secret.
    """
    least = _HMAC_BYTES.get(algorithm)
    if least is None:
        raise IssuerError("not_an_hmac", algorithm, "Only HS256, HS384 and HS512 use a secret.")
    length = len(_as_bytes(secret))
    if length < least:
        raise IssuerError(
            "short_secret",
            f"{length} bytes",
            f"A secret for {algorithm} has at least {least} bytes; this one has {length}.",
            f'Make one with python -c "import secrets; print(secrets.token_urlsafe({least}))".',
        )


def prepare_key(key: Any, algorithm: str) -> PreparedKey:
    """``key`` checked for ``algorithm``: a secret, a PEM public key, or a key object.

    Preparing costs more than verifying; do it once, when policy is compiled.

    Raises:
        IssuerError: the key is too short, of another kind, or unreadable.
    """
    if _known_algorithm(algorithm) in _HMAC_BYTES:
        if not isinstance(key, (str, bytes)):
            raise _bad_key(algorithm)
        check_secret(key, algorithm)
        key = _as_bytes(key)
    try:
        prepared = _ALGORITHMS[algorithm].prepare_key(key)
        weakness = _ALGORITHMS[algorithm].check_key_length(prepared)
        fits = weakness is None and _is_of_curve(prepared, algorithm)
    except Exception as error:  # PyJWT, cryptography and OpenSSL each have their own
        raise _bad_key(algorithm) from error
    if not fits:
        raise _bad_key(algorithm)
    return PreparedKey(algorithm, prepared)


def _is_of_curve(key: Any, algorithm: str) -> bool:
    length = _EDWARDS_BYTES.get(algorithm)
    return length is None or len(key.public_bytes_raw()) == length


def key_of_jwk(jwk: dict[str, Any], algorithm: str) -> Any:
    """Return the key object of one JWK that was checked before (see ``jwks.py``).

    Raises:
        IssuerError: it cannot be read: a member is missing, a point is not on its curve.
    """
    try:
        return _ALGORITHMS[algorithm].from_jwk(jwk)
    except Exception as error:  # PyJWT, cryptography and OpenSSL each have their own
        raise _bad_key(algorithm) from error


def verify_signature(parsed: ParsedToken, key: bytes | PreparedKey, algorithm: str) -> bool:
    """Whether ``key`` signed the token with ``algorithm``; False for a key that does not fit."""
    if parsed.header.get("alg") != algorithm:
        return False
    try:
        prepared = key if isinstance(key, PreparedKey) else prepare_key(key, algorithm)
        if prepared.algorithm != algorithm:
            return False
        verifier = _ALGORITHMS[algorithm]
        return any(
            verifier.verify(parsed.signing_input, one, parsed.signature) is True
            for one in (prepared.key, *prepared.older)
        )
    except Exception:  # noqa: BLE001 - fail closed, whatever the cryptography trips over
        return False


def _known_algorithm(name: object) -> str:
    if isinstance(name, str) and name in _ALGORITHMS:
        return name
    nearest = difflib.get_close_matches(str(name).upper()[:16], _NAMES, n=1)
    raise IssuerError(
        "unknown_algorithm",
        name,
        f"{name!r} is not an algorithm that tokens may be signed with.",
        f"Choose from {', '.join(_NAMES)}.",
        suggestion=nearest[0] if nearest else None,
    )


def _as_bytes(secret: bytes | str) -> bytes:
    return secret.encode("utf-8", "surrogatepass") if isinstance(secret, str) else secret


def _bad_key(algorithm: str) -> IssuerError:
    # The key itself is left out of the message: it may be a secret.
    return IssuerError(
        "bad_key",
        algorithm,
        f"The key cannot be used with {algorithm}.",
        "HMAC takes a random secret; RS, PS, ES and EdDSA take a public key of that kind.",
    )
