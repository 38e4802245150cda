"""The keys that verify one issuer's tokens: public keys by name, or the secrets of an HMAC issuer.

A key is bound to its algorithms when policy is compiled or a set was fetched. A
token is later verified by the one key that its ``kid`` names: public keys are
never tried in turn. The secrets of an HMAC issuer are those of the settings, at
most a few, and all of them are tried, whatever ``kid`` its tokens have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, NamedTuple

from .jwt_keys import PreparedKey, prepare_key
from .jwt_parse import TokenProblem, TokenRefused


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
    """A key that is not used; ``kid`` is empty if the key has no readable one."""

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
        """Return the one key that a token names; ``None`` if there is no key of that name.

        Of a token without ``kid`` it is the only key that fits the algorithm.

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
        """Return the public keys as a JWK set; HMAC secrets are never among them."""
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
