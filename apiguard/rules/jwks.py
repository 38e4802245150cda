"""Read JWK sets (RFC 7517) strictly.

Of a set only public signing keys of the issuer's own family are kept. Secret
(``oct``), private, encryption, weak and unreadable keys are dropped, each with
its reason, and so are keys of other families; only then do two keys of one name
refuse the whole set, because a token could mean either.

Whatever is read, only ``IssuerError`` is raised, and no message holds a key.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from ..errors import IssuerError
from .jwk_weakness import is_small_order_point, is_weak_rsa
from .jwt_keys import accepted_algorithms, key_of_jwk, prepare_key
from .jwt_parse import PRINTABLE
from .key_set import DroppedKey, KeyProblem, KeySet, VerifyingKey
from .strict_json import JsonRefused, read_object

MAX_SET_LENGTH: Final = 65_536
"""Bytes."""

MAX_KEYS: Final = 100

# RFC 7518 section 6: what private and secret keys have, and public ones have not.
PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
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


def read_key_set(raw: bytes, algorithms: Collection[str]) -> KeySet:
    """Read a JWK set from the bytes of a JSON document (at most 64 KiB); see ``parse_key_set``."""
    if len(raw) > MAX_SET_LENGTH:
        raise _bad_set("set_too_large", f"The set is larger than {MAX_SET_LENGTH:,} bytes.")
    try:
        return parse_key_set(read_object(raw), algorithms)
    except JsonRefused as refused:
        reason = f"This is not JSON that everybody reads alike ({refused.problem})."
        raise _bad_set("bad_json", reason) from None


def parse_key_set(value: object, algorithms: Collection[str]) -> KeySet:
    """Return the keys of a JWK set that can verify tokens of these algorithms.

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
    if not PRIVATE_MEMBERS.isdisjoint(member):
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
    """Return whether ``use`` and ``key_ops`` allow signatures (RFC 7517 sections 4.2, 4.3)."""
    if member.get("use", "sig") != "sig":
        return False
    operations = member.get("key_ops", ["verify"])
    return isinstance(operations, list) and "verify" in operations


def _fitting(member: dict[str, Any], algorithms: Collection[str]) -> list[str]:
    """Return the issuer's algorithms that the key's ``alg`` and curve allow."""
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
    """Return a Base64urlUInt (RFC 7518 section 2); 0 for what is none."""
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
