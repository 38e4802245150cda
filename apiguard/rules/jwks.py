"""The keys that verify one issuer's tokens; JWK sets (RFC 7517) read strictly.

Of a set only public signing keys of the issuer's own family are kept. Secret
(``oct``), private, encryption, weak and unreadable keys are dropped, each with
its reason; two keys of one name refuse the whole set, because nobody can say
which of them was meant. A key is bound to its algorithms here, once, and a
token is later verified by the one key that its ``kid`` names: keys are never
tried in turn.

Whatever is read, only ``IssuerError`` is raised, and no message holds a key.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

from ..errors import IssuerError
from .jwt_keys import PreparedKey, key_of_jwk, prepare_key
from .jwt_parse import PRINTABLE, TokenProblem, TokenRefused
from .strict_json import JsonRefused, read_object

MAX_SET_LENGTH: Final = 65_536
"""Bytes."""

MAX_KEYS: Final = 100

# RFC 7518 section 6: what private and secret keys have, and public ones have not.
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
# What is kept of a key: x5c and the like are never looked at.
_FACTS = ("kty", "kid", "use", "key_ops", "alg")
_NUMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_KINDS = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_BASE64URL = re.compile(r"[A-Za-z0-9_-]{1,2048}")
_RSA_BITS = range(2048, 8192 + 1)
# Verifying takes time with the exponent's length; everybody uses 65537.
_MAX_EXPONENT = 2**32


class KeyProblem(StrEnum):
    """Why one key of a set is left out."""

    NOT_A_KEY = "not_a_key"
    SECRET = "secret"
    PRIVATE = "private"
    BAD_KID = "bad_kid"
    NOT_FOR_SIGNING = "not_for_signing"
    OTHER_KIND = "other_kind"
    OTHER_ALGORITHM = "other_algorithm"
    WEAK = "weak"
    UNREADABLE = "unreadable"


class DroppedKey(NamedTuple):
    """A key that is not used; ``kid`` is empty where it has no readable one."""

    kid: str
    problem: KeyProblem


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A key of an issuer.

    ``kind`` is ``RSA``, a curve's name or ``HMAC``; ``prepared`` is by algorithm;
    ``jwk`` holds the public members, to be stored.
    """

    kid: str | None
    kind: str
    bits: int
    use: str
    prepared: Mapping[str, PreparedKey] = field(repr=False)
    jwk: Mapping[str, Any] = field(repr=False, default_factory=dict)


class KeySet:
    """All keys of an issuer, by name. Never changed once made: readers take no lock."""

    __slots__ = ("_by_name", "_names", "_unnamed", "dropped", "keys")

    def __init__(
        self, keys: Iterable[VerifyingKey] = (), dropped: Iterable[DroppedKey] = ()
    ) -> None:
        self.keys = tuple(keys)
        self.dropped = tuple(dropped)
        self._names = frozenset(key.kid for key in self.keys if key.kid is not None)
        self._by_name: dict[tuple[str, str], PreparedKey] = {}
        self._unnamed: dict[str, list[PreparedKey]] = {}
        for key in self.keys:
            for algorithm, prepared in key.prepared.items():
                self._unnamed.setdefault(algorithm, []).append(prepared)
                if key.kid is not None:
                    self._by_name[key.kid, algorithm] = prepared

    def __len__(self) -> int:
        return len(self.keys)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeySet) and other.as_jwks() == self.as_jwks()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"KeySet({self.keys!r}, {self.dropped!r})"

    def find(self, kid: str | None, algorithm: str) -> PreparedKey | None:
        """The one key that a token names; ``None`` if there is no key of that name.

        A token without ``kid`` means the only key that fits its algorithm.

        Raises:
            TokenRefused: several keys fit a token that names none; or the key
                that it names is for another algorithm.
        """
        if kid is not None:
            found = self._by_name.get((kid, algorithm))
            if found is None and kid in self._names:
                raise TokenRefused(TokenProblem.KID_OF_ANOTHER_ALG)
            return found
        fitting = self._unnamed.get(algorithm, [])
        if len(fitting) > 1:
            raise TokenRefused(TokenProblem.MISSING_KID)
        return fitting[0] if fitting else None

    def as_jwks(self) -> dict[str, Any]:
        """The public keys that are kept, as a JWK set; HMAC secrets are in none."""
        return {"keys": [dict(key.jwk) for key in self.keys if key.jwk]}


NO_KEYS: Final = KeySet()


def secret_key_set(name: str, secret: bytes, algorithms: Iterable[str]) -> KeySet:
    """The one secret of an HMAC issuer: tokens name it by ``name``, or not at all.

    Raises:
        IssuerError: the secret is too short for one of the algorithms.
    """
    prepared = {algorithm: prepare_key(secret, algorithm) for algorithm in algorithms}
    return KeySet([VerifyingKey(name, "HMAC", 8 * len(secret), "sig", prepared)])


def read_key_set(raw: bytes, algorithms: Collection[str]) -> KeySet:
    """As ``parse_key_set``, from the bytes of a JSON document (at most 64 KiB)."""
    if len(raw) > MAX_SET_LENGTH:
        raise _bad_set("set_too_large", f"The set is larger than {MAX_SET_LENGTH:,} bytes.")
    try:
        return parse_key_set(read_object(raw), algorithms)
    except JsonRefused as refused:
        reason = f"This is not JSON that everybody reads alike ({refused.problem})."
        raise _bad_set("bad_json", reason) from None


def parse_key_set(value: object, algorithms: Collection[str]) -> KeySet:
    """The keys of a JWK set that can verify tokens of these algorithms.

    Raises:
        IssuerError: ``not_a_key_set``, ``too_many_keys``, ``duplicate_kid`` or
            ``no_usable_key``.
    """
    listed = value.get("keys") if isinstance(value, Mapping) else None
    if not isinstance(listed, list):
        raise _bad_set("not_a_key_set", 'This is not a JWK set: an object with a list "keys".')
    if len(listed) > MAX_KEYS:
        raise _bad_set("too_many_keys", f"The set has more than {MAX_KEYS} keys.")
    _refuse_duplicates(listed)
    read = [_read_key(member, algorithms) for member in listed]
    keys = [key for key in read if isinstance(key, VerifyingKey)]
    dropped = [key for key in read if isinstance(key, DroppedKey)]
    if not keys:
        why = ", ".join(sorted({key.problem.value for key in dropped})) or "it is empty"
        raise _bad_set("no_usable_key", f"No key of the set can verify these tokens: {why}.")
    return KeySet(keys, dropped)


def _refuse_duplicates(listed: list[Any]) -> None:
    names = [name for member in listed if (name := _name(member))]
    if len(set(names)) < len(names):
        raise _bad_set("duplicate_kid", "Two keys of the set have the same kid.")


def _read_key(member: object, algorithms: Collection[str]) -> VerifyingKey | DroppedKey:
    if not isinstance(member, dict) or not isinstance(member.get("kty"), str):
        return DroppedKey(_name(member), KeyProblem.NOT_A_KEY)
    problem = _problem_of(member, algorithms)
    if problem is not None:
        return DroppedKey(_name(member), problem)
    fitting = _fitting(member, algorithms)
    try:
        key = key_of_jwk(member, fitting[0])
        prepared = {algorithm: prepare_key(key, algorithm) for algorithm in fitting}
    except IssuerError:
        return DroppedKey(_name(member), KeyProblem.UNREADABLE)
    kty = member["kty"]
    kind = kty if kty == "RSA" else member["crv"]
    jwk = {name: member[name] for name in (*_FACTS, *_NUMBERS[kty]) if name in member}
    bits = getattr(key, "key_size", None) or (456 if kind == "Ed448" else 256)
    use = str(member.get("use", ""))
    return VerifyingKey(member.get("kid"), kind, bits, use, prepared, jwk)


def _problem_of(member: dict[str, Any], algorithms: Collection[str]) -> KeyProblem | None:
    kty = member["kty"]
    if kty == "oct":
        return KeyProblem.SECRET
    if not _PRIVATE_MEMBERS.isdisjoint(member):
        return KeyProblem.PRIVATE
    if "kid" in member and not _name(member):
        return KeyProblem.BAD_KID
    if not _is_for_signing(member):
        return KeyProblem.NOT_FOR_SIGNING
    if kty not in {_KINDS.get(algorithm[:2]) for algorithm in algorithms}:
        return KeyProblem.OTHER_KIND
    if not _fitting(member, algorithms):
        return KeyProblem.OTHER_ALGORITHM
    return _weakness(member)


def _is_for_signing(member: dict[str, Any]) -> bool:
    """RFC 7517 sections 4.2 and 4.3: what is said of the use has to say signatures."""
    if member.get("use", "sig") != "sig":
        return False
    operations = member.get("key_ops", ["verify"])
    return isinstance(operations, list) and "verify" in operations


def _fitting(member: dict[str, Any], algorithms: Collection[str]) -> list[str]:
    """The issuer's algorithms that the key's ``alg`` and curve allow."""
    only = member.get("alg", ...)
    curve = member.get("crv")
    curves = _CURVES.get(curve, "") if isinstance(curve, str) else ""
    return [
        algorithm
        for algorithm in algorithms
        if only in (..., algorithm) and (member["kty"] != "EC" or algorithm == curves)
    ]


def _weakness(member: dict[str, Any]) -> KeyProblem | None:
    values = [member[name] for name in ("n", "e", "x", "y") if name in member]
    if not all(isinstance(value, str) and _BASE64URL.fullmatch(value) for value in values):
        return KeyProblem.UNREADABLE
    if member["kty"] != "RSA":
        return None
    if "n" not in member or "e" not in member:
        return KeyProblem.UNREADABLE
    bits, exponent = _number(member["n"]).bit_length(), _number(member["e"])
    good = bits in _RSA_BITS and 3 <= exponent < _MAX_EXPONENT and exponent % 2
    return None if good else KeyProblem.WEAK


def _number(text: str) -> int:
    """A Base64urlUInt (RFC 7518 section 2); 0 for what is none."""
    try:
        return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError:
        return 0


def _name(member: object) -> str:
    kid = member.get("kid") if isinstance(member, dict) else None
    return kid if isinstance(kid, str) and PRINTABLE.fullmatch(kid) else ""


def _bad_set(code: str, reason: str) -> IssuerError:
    # The set itself is left out: it may hold keys that nobody should read in a log.
    return IssuerError(code, "", reason, "Have the issuer publish a JWK set (RFC 7517).")
