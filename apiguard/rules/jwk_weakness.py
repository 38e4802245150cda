"""Public keys whose private half can be found, or is not needed to sign.

- RSA: lengths and exponents outside the usual, and the moduli of a smart-card
  library whose primes had a structure that gives the key away (ROCA,
  CVE-2017-15361).
- Ed25519 and Ed448: points of small order. Under such a key one signature holds
  for every message, so anybody signs.
"""

from __future__ import annotations

from typing import Final, NamedTuple

RSA_BITS: Final = range(2048, 8192 + 1)
# Verifying takes time with the exponent's length; everybody uses 65537.
MAX_EXPONENT: Final = 2**32


def is_weak_rsa(modulus: int, exponent: int) -> bool:
    """Return whether tokens must not be verified by this RSA key."""
    usual = modulus.bit_length() in RSA_BITS and 3 <= exponent < MAX_EXPONENT and exponent % 2
    return not usual or _has_roca_primes(modulus)


# -- ROCA -----------------------------------------------------------------------------

_SMALL_PRIMES = [3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73]
_SMALL_PRIMES += [79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157]
_SMALL_PRIMES += [163, 167]
_GENERATOR = 65537


def _powers(prime: int) -> frozenset[int]:
    """Return what powers of the generator leave when they are divided by ``prime``."""
    found, power = set(), 1
    while power not in found:
        found.add(power)
        power = power * _GENERATOR % prime
    return frozenset(found)


_POWERS = {prime: _powers(prime) for prime in _SMALL_PRIMES}


def _has_roca_primes(modulus: int) -> bool:
    """Return whether the modulus is a power of 65537 by every small prime.

    The library's primes were ``k * M + 65537 ** a % M``, with M the product of
    the first primes, so their product is such a power by each of these. Of
    other moduli one in some hundred million is.
    """
    return all(modulus % prime in powers for prime, powers in _POWERS.items())


# -- small order ----------------------------------------------------------------------


class _EdwardsCurve(NamedTuple):
    """``a x^2 + y^2 = 1 + d x^2 y^2`` (RFC 8032); ``2 ** doublings`` is its cofactor."""

    length: int
    prime: int
    a: int
    d: int
    doublings: int


_P25519 = 2**255 - 19
_P448 = 2**448 - 2**224 - 1
_EDWARDS: dict[str, _EdwardsCurve] = {
    "Ed25519": _EdwardsCurve(32, _P25519, -1, -121665 * pow(121666, -1, _P25519), 3),
    "Ed448": _EdwardsCurve(57, _P448, 1, -39081, 2),
}


def is_small_order_point(curve: str, encoded: bytes) -> bool:
    """Return whether a public key of this curve lets anybody sign.

    True also for what encodes no point: RFC 8032 has one spelling per point.
    False for other curves, and for a wrong length, which is no key at all.
    """
    parameters = _EDWARDS.get(curve)
    if parameters is None or len(encoded) != parameters.length:
        return False
    _, prime, a, d, doublings = parameters
    # The topmost bit is the sign of x; y decides about the order alone.
    y = int.from_bytes(encoded, "little") & ~(1 << (8 * len(encoded) - 1))
    if y >= prime:
        return True
    try:
        for step in range(doublings):
            x_squared = (1 - y * y) * pow(a - d * y * y, -1, prime) % prime
            if step == 0 and pow(x_squared, (prime - 1) // 2, prime) == prime - 1:
                return True  # No point of the curve has this y.
            y = (y * y - a * x_squared) * pow(2 - a * x_squared - y * y, -1, prime) % prime
    except ValueError:  # Division by zero: no point of the curve.
        return True
    return y == 1
