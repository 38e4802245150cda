"""Public keys under which somebody else can sign: known cases, and no good key among them."""

from __future__ import annotations

import random

import pytest
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519

from apiguard.rules.jwk_weakness import is_small_order_point, is_weak_rsa
from apiguard.rules.jwks import parse_key_set
from tests.signing import b64, public_jwk, rsa_key

P25519 = 2**255 - 19
P448 = 2**448 - 2**224 - 1


def structured_modulus(bits=1024, seed=1):
    """A modulus as the library of CVE-2017-15361 made them: of k * M + 65537 ** a % M, twice."""
    dice, primorial = random.Random(seed), 1
    sieve = [number for number in range(2, 702) if all(number % d for d in range(2, number))]
    for prime in sieve:
        primorial *= prime

    def factor():
        least = (3 << (bits - 2)) // primorial
        return dice.randrange(least, least * 9 // 8) * primorial + pow(
            65537, dice.randrange(1, 10**6), primorial
        )

    return factor() * factor()


@pytest.mark.parametrize("seed", range(5))
def test_a_modulus_with_the_structure_of_roca_is_weak(seed):
    modulus = structured_modulus(seed=seed)
    assert modulus.bit_length() == 2048
    assert is_weak_rsa(modulus, 65537)
    assert not is_weak_rsa(modulus + 2, 65537)


def test_no_other_modulus_has_that_structure():
    dice = random.Random(5)
    assert not any(is_weak_rsa(dice.getrandbits(2047) | 1 << 2047 | 1, 65537) for _ in range(5000))
    assert not is_weak_rsa(rsa_key(2048).public_key().public_numbers().n, 65537)


def test_a_set_drops_such_a_key():
    modulus = structured_modulus()
    weak = {"kty": "RSA", "kid": "weak", "n": b64(modulus.to_bytes(256)), "e": "AQAB"}
    held = parse_key_set({"keys": [public_jwk("RS256", "good"), weak]}, ["RS256"])
    assert [key.kid for key in held.keys] == ["good"]
    assert [(key.kid, key.problem.value) for key in held.dropped] == [("weak", "weak")]


# The y of all points whose order divides the cofactor, each with both signs of x;
# those of order 8 from RFC 7748's curve, computed with other formulas (Montgomery's).
EIGHTH = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03"
SMALL_25519 = [
    *(y.to_bytes(32, "little") for y in (0, 1, P25519 - 1)),
    bytes.fromhex(EIGHTH + "7a"),
    (P25519 - int.from_bytes(bytes.fromhex(EIGHTH + "7a"), "little")).to_bytes(32, "little"),
]
NOT_CANONICAL = [(P25519 + y).to_bytes(32, "little") for y in (0, 1, 18)]


@pytest.mark.parametrize("encoded", [*SMALL_25519, *NOT_CANONICAL], ids=bytes.hex)
def test_small_orders_and_second_spellings_of_ed25519(encoded):
    for sign in (0, 0x80):
        point = encoded[:31] + bytes([encoded[31] | sign])
        assert is_small_order_point("Ed25519", point)
        jwk = {"kty": "OKP", "crv": "Ed25519", "kid": "weak", "x": b64(point)}
        held = parse_key_set({"keys": [public_jwk("EdDSA", "good"), jwk]}, ["EdDSA"])
        assert [(key.kid, key.problem.value) for key in held.dropped] == [("weak", "weak")]


def test_one_signature_holds_for_every_message_under_such_a_key():
    """Why they are dropped: OpenSSL takes them."""
    key = ed25519.Ed25519PublicKey.from_public_bytes((1).to_bytes(32, "little"))
    forged = (1).to_bytes(32, "little") + bytes(32)
    for message in (b"pay alice", b"pay mallory"):
        key.verify(forged, message)


@pytest.mark.parametrize("y", [0, 1, P448 - 1, P448, P448 + 1])
def test_small_orders_of_ed448(y):
    for sign in (0, 0x80):
        assert is_small_order_point("Ed448", y.to_bytes(56, "little") + bytes([sign]))


def test_no_generated_key_is_of_small_order():
    for _ in range(30):
        for name, kind in [
            ("Ed25519", ed25519.Ed25519PrivateKey),
            ("Ed448", ed448.Ed448PrivateKey),
        ]:
            assert not is_small_order_point(name, kind.generate().public_key().public_bytes_raw())


@pytest.mark.parametrize("encoded", [b"", b"\1", bytes(31), bytes(33), bytes(56)])
def test_a_wrong_length_is_no_point_and_is_refused_where_keys_are_read(encoded):
    assert not is_small_order_point("Ed25519", encoded)
