"""The keys that verify one issuer's tokens; JWK sets (RFC 7517) read strictly.

Of a set only public signing keys of the issuer's own family are kept. Secret
(``oct``), private, encryption, weak and unreadable keys are dropped, each with
its reason, and so are keys of other families; only then do two keys of one name
refuse the whole set, because a token could mean either. A key is bound to its
algorithms here, once, and a token is later verified by the one key that its
``kid`` names: public keys are never tried in turn. The secrets of an HMAC issuer
are those of the settings, at most a few, whatever ``kid`` its tokens have.

Whatever is read, only ``IssuerError`` is raised, and no message holds a key.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, NamedTuple

from ..errors import IssuerError
from .jwk_weakness import is_small_order_point, is_weak_rsa
from .jwt_keys import PreparedKey, accepted_algorithms, key_of_jwk, prepare_key
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
# What a curve's keys sign with: ES has one name for each, EdDSA two (RFC 9864).
_CURVES = {
    "P-256": frozenset({"ES256"}),
    "P-384": frozenset({"ES384"}),
    "P-521": frozenset({"ES512"}),
    "Ed25519": frozenset({"EdDSA", "Ed25519"}),
    "Ed448": frozenset({"EdDSA", "Ed448"}),
}
_KINDS = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
# RFC 7518 knows no padding; issuers send it (and mean the same number).
_BASE64URL = re.compile(r"[A-Za-z0-9_-]{1,2048}={0,2}")


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


class SecretKeySet(KeySet):
    """The secrets of an HMAC issuer: the first signs, all verify."""

    __slots__ = ("_secrets",)

    def __init__(self, keys: Iterable[VerifyingKey]) -> None:
        super().__init__(keys)
        self._secrets = {
            algorithm: replace(newest, older=tuple(one.key for one in older))
            for algorithm, (newest, *older) in self._unnamed.items()
        }

    def find(self, kid: str | None, algorithm: str) -> PreparedKey | None:
        """Return the secrets for this algorithm; ``kid`` decides nothing.

        Some issuers stamp a ``kid`` on such tokens (Supabase does), and a name
        that the sender wrote could select nothing but these secrets.
        """
        return self._secrets.get(algorithm)


def secret_key_set(name: str, secrets: Sequence[bytes], algorithms: Iterable[str]) -> KeySet:
    """Return the secrets of an HMAC issuer, newest first, ready to verify.

    Raises:
        IssuerError: a secret is too short for one of the algorithms.
    """
    names = tuple(algorithms)
    keys = []
    for secret in secrets:
        prepared = {algorithm: prepare_key(secret, algorithm) for algorithm in names}
        keys.append(VerifyingKey(name, "HMAC", 8 * len(secret), "sig", prepared))
    return SecretKeySet(keys)


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
    accepted = accepted_algorithms(algorithms)
    read = [_read_key(_without_nulls(member), accepted) for member in listed]
    keys = [key for key in read if isinstance(key, VerifyingKey)]
    dropped = [key for key in read if isinstance(key, DroppedKey)]
    if not keys:
        why = ", ".join(sorted({key.problem.value for key in dropped})) or "it is empty"
        raise _bad_set("no_usable_key", f"No key of the set can verify these tokens: {why}.")
    _refuse_duplicates(keys)
    return KeySet(keys, dropped)


def _refuse_duplicates(keys: list[VerifyingKey]) -> None:
    names = [key.kid for key in keys if key.kid is not None]
    if len(set(names)) < len(names):
        raise _bad_set("duplicate_kid", "Two usable keys of the set have the same kid.")


def _without_nulls(member: object) -> object:
    """Read a null member as an absent one: serializers write what a key has not as null."""
    if not isinstance(member, dict):
        return member
    return {name: value for name, value in member.items() if value is not None}


def _read_key(member: object, algorithms: Collection[str]) -> VerifyingKey | DroppedKey:
    if not isinstance(member, dict) or not isinstance(member.get("kty"), str):
        return DroppedKey(_name(member), KeyProblem.NOT_A_KEY)
    problem = _problem_of(member, algorithms)
    if problem is not None:
        return DroppedKey(_name(member), problem)
    fitting = _fitting(member, algorithms)
    member = _without_padding(member)
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
    only, curve = member.get("alg", ...), member.get("crv")
    own = _CURVES.get(curve, frozenset()) if isinstance(curve, str) else frozenset()
    if member["kty"] == "RSA":
        return [algorithm for algorithm in algorithms if only in (..., algorithm)]
    if isinstance(only, str) and only in own:
        only = ...  # Of two names for one algorithm a key may have either.
    return [algorithm for algorithm in algorithms if only is ... and algorithm in own]


def _weakness(member: dict[str, Any]) -> KeyProblem | None:
    values = [member[name] for name in ("n", "e", "x", "y") if name in member]
    if not all(isinstance(value, str) and _BASE64URL.fullmatch(value) for value in values):
        return KeyProblem.UNREADABLE
    if any(name not in member for name in _NUMBERS[member["kty"]]):
        return KeyProblem.UNREADABLE
    if member["kty"] == "RSA":
        weak = is_weak_rsa(_number(member["n"]), _number(member["e"]))
    else:
        weak = is_small_order_point(member["crv"], _bytes(member["x"]))
    return KeyProblem.WEAK if weak else None


def _without_padding(member: dict[str, Any]) -> dict[str, Any]:
    numbers = {name: member[name].rstrip("=") for name in _NUMBERS[member["kty"]] if name != "crv"}
    return {**member, **numbers}


def _number(text: str) -> int:
    """A Base64urlUInt (RFC 7518 section 2); 0 for what is none."""
    return int.from_bytes(_bytes(text))


def _bytes(text: str) -> bytes:
    text = text.rstrip("=")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return b""


def _name(member: object) -> str:
    kid = member.get("kid") if isinstance(member, dict) else None
    return kid if isinstance(kid, str) and PRINTABLE.fullmatch(kid) else ""


def _bad_set(code: str, reason: str) -> IssuerError:
    # The set itself is left out: it may hold keys that nobody should read in a log.
    return IssuerError(code, "", reason, "Have the issuer publish a JWK set (RFC 7517).")
