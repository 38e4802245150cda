"""Issuers that tests play: private keys of every family, their JWKs, and tokens made by hand."""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import get_default_algorithms

SECRET = "0123456789abcdef" * 4
ALGORITHMS = get_default_algorithms()
ALGORITHMS |= dict.fromkeys(("Ed25519", "Ed448"), ALGORITHMS["EdDSA"])  # RFC 9864
CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


def private_key(algorithm: str, number: int = 1) -> Any:
    """A key that signs with ``algorithm``; another one for another number, RS and PS alike."""
    return _private_key(algorithm, number)  # One entry, however it was asked for.


@cache
def _private_key(algorithm: str, number: int) -> Any:
    family = algorithm[:2]
    if family == "HS":
        return (SECRET if number == 1 else SECRET[::-1] + str(number)).encode()
    if family in ("RS", "PS"):
        return rsa_key(2048, number)
    if algorithm in ("EdDSA", "Ed25519"):
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm == "Ed448":
        return ed448.Ed448PrivateKey.generate()
    return ec.generate_private_key(CURVES[algorithm])


@cache
def rsa_key(bits: int, number: int = 1) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def ed448_key() -> ed448.Ed448PrivateKey:
    return ed448.Ed448PrivateKey.generate()


def jwk_of(algorithm: str, key: Any, **members: Any) -> dict[str, Any]:
    """The JWK of a key object: private if the key is."""
    name = "RS256" if algorithm.startswith("PS") else algorithm
    jwk: dict[str, Any] = ALGORITHMS[name].to_jwk(key, as_dict=True)
    return {name: value for name, value in jwk.items() if name != "key_ops"} | members


def public_jwk(algorithm: str, kid: str | None = "one", number: int = 1, **more: Any) -> Any:
    """The public JWK of ``private_key(algorithm, number)``."""
    named = {} if kid is None else {"kid": kid}
    return jwk_of(algorithm, private_key(algorithm, number).public_key(), **named, **more)


def b64(raw: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def encoded(value: object) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def sign(header: object, claims: object, algorithm: str = "HS256", key: Any = None) -> str:
    """A token of exactly this header and these claims (objects, or bytes as they are)."""
    signing_input = f"{b64(encoded(header))}.{b64(encoded(claims))}"
    key = private_key(algorithm) if key is None else key
    return f"{signing_input}.{b64(ALGORITHMS[algorithm].sign(signing_input.encode(), key))}"
