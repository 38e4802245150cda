"""The text of an API key: how it is made, read, recognised and digested.

A key reads ``<namespace>_<live|test>_<id12>_<secret32><crc6>``. The last six
characters are the CRC32 of all before them, which distinguishes a typo or garbage from
a key without a look-up, and scanners for leaked secrets can match one regular
expression. Base 62 is ``0-9A-Za-z``.

Nothing here raises on text that came over the network, whatever it contains,
and the secret parts stay out of every ``repr``.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from ..errors import SettingError

ENVIRONMENTS = ("live", "test")
BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase

_ID_LENGTH = 12
_SECRET_LENGTH = 32
_CRC_LENGTH = 6
# Two digits of base 62 at a time; three pairs hold any CRC32.
_PAIRS = [high + low for high in BASE62 for low in BASE62]
_NAMESPACE = re.compile(r"[a-z][a-z0-9]{1,7}")


@dataclass(frozen=True, slots=True)
class KeyParts:
    """A well-formed key, taken apart.

    ``key_id`` is public; ``secret`` and ``text`` (the whole key) are not.
    """

    namespace: str
    environment: str
    key_id: str
    secret: str = field(repr=False)
    text: str = field(repr=False)


def check_namespace(text: object) -> str:
    """``text`` as a key namespace.

    Raises:
        SettingError: it is not ``[a-z][a-z0-9]{1,7}``.
    """
    if isinstance(text, str) and _NAMESPACE.fullmatch(text):
        return text
    raise SettingError(
        "bad_key_namespace",
        text,
        "A key namespace is two to eight lower-case letters and digits, a letter first.",
        'Use a short name of your product, such as "ag".',
        field="KEY_NAMESPACE",
    )


def generate(namespace: str, environment: str) -> KeyParts:
    """Return a new key with 190 bits of randomness in its secret.

    Raises:
        SettingError: the namespace is malformed.
        ValueError: ``environment`` is not one of ``ENVIRONMENTS``.
    """
    check_namespace(namespace)
    if environment not in ENVIRONMENTS:
        raise ValueError(f"environment must be one of {', '.join(ENVIRONMENTS)}")
    key_id, secret = _random_text(_ID_LENGTH), _random_text(_SECRET_LENGTH)
    body = f"{namespace}_{environment}_{key_id}_{secret}"
    return KeyParts(namespace, environment, key_id, secret, body + _checksum(body))


def parse(text: str, namespace: str) -> KeyParts | None:
    """Return the parts of ``text``, or None if it is no key of ``namespace``.

    The length is looked at first, so the cost does not depend on the input.
    """
    if len(text) != key_length(namespace):
        return None
    match = _compiled(namespace).fullmatch(text)
    if match is None or _checksum(text[:-_CRC_LENGTH]) != text[-_CRC_LENGTH:]:
        return None
    environment, key_id, secret = match.groups()
    return KeyParts(namespace, environment, key_id, secret, text)


def has_key_shape(text: str, namespace: str) -> bool:
    """Whether ``text`` claims to be one of our keys, well-formed or not."""
    return text.startswith(f"{namespace}_")


def pattern(namespace: str) -> str:
    """Return a regular expression for secret scanners; no look-around, so RE2 reads it too."""
    environments = "|".join(ENVIRONMENTS)
    tail = _SECRET_LENGTH + _CRC_LENGTH
    return (
        rf"\b{re.escape(namespace)}_(?:{environments})"
        rf"_[0-9A-Za-z]{{{_ID_LENGTH}}}_[0-9A-Za-z]{{{tail}}}\b"
    )


def shown(namespace: str, environment: str, key_id: str) -> str:
    """Return a key as people may see it: its public part, and that there is more."""
    return f"{namespace}_{environment}_{key_id}_…"


def mask(text: str, namespace: str) -> str:
    """``text`` with the secret of every key in it, whole or cut short, made unreadable.

    Keys are found inside words too (``%22ag_live_…``, ``\\nag_live_…``): for a
    log, rather one masked too many. What is masked already stays as it is.
    """
    if f"{namespace}_" not in text:
        return text
    return _maskable(namespace).sub(r"\1_…", text)


def find(data: bytes, namespace: str) -> Iterator[tuple[int, KeyParts | None]]:
    """Yield everything in ``data`` that has the form of a key: where it ends, and its parts.

    ``None`` stands for what has the form and a wrong checksum. Unlike
    ``pattern``, this finds a key inside a word, because the checksum tells.
    """
    form, start = _findable(namespace), 0
    while match := form.search(data, start):
        parts = parse(match[0].decode("ascii"), namespace)
        # What is no key may end in the beginning of one.
        start = match.start() + 1 if parts is None else match.end()
        yield match.end(), parts


def digest(text: str, pepper: bytes | None) -> str:
    """Return what is stored of a key: 64 hexadecimal digits over its whole text.

    HMAC-SHA-256 under ``pepper``; plain SHA-256 where there is none. The
    secret is random, so a slow password hash would add nothing but delay.
    """
    message = text.encode("utf-8", "surrogatepass")
    if pepper is None:
        return hashlib.sha256(message).hexdigest()
    return hmac.digest(pepper, message, "sha256").hex()


def matches(text: str, pepper: bytes | None, stored: str) -> bool:
    """Whether ``stored`` is the digest of ``text``, compared in constant time."""
    # compare_digest refuses non-ASCII str; a damaged row must not raise.
    return hmac.compare_digest(
        digest(text, pepper).encode("ascii"), stored.encode("utf-8", "surrogatepass")
    )


def _random_text(length: int) -> str:
    return "".join(secrets.choice(BASE62) for _ in range(length))


def _checksum(text: str) -> str:
    rest, last = divmod(zlib.crc32(text.encode("ascii")), len(_PAIRS))
    first, middle = divmod(rest, len(_PAIRS))
    return _PAIRS[first] + _PAIRS[middle] + _PAIRS[last]


def key_length(namespace: str) -> int:
    """Return how many characters a key of ``namespace`` has."""
    return len(namespace) + 1 + 4 + 1 + _ID_LENGTH + 1 + _SECRET_LENGTH + _CRC_LENGTH


@lru_cache(maxsize=16)
def _maskable(namespace: str) -> re.Pattern[str]:
    start = rf"{re.escape(namespace)}_(?:{'|'.join(ENVIRONMENTS)})_"
    # The next key may begin where this one ends, or is cut short.
    digit = rf"(?:(?!{start})[0-9A-Za-z])"
    return re.compile(rf"({start}{digit}{{{_ID_LENGTH}}})_{digit}+")


@lru_cache(maxsize=16)
def _findable(namespace: str) -> re.Pattern[bytes]:
    tail = _SECRET_LENGTH + _CRC_LENGTH
    return re.compile(
        rf"{re.escape(namespace)}_(?:{'|'.join(ENVIRONMENTS)})"
        rf"_[0-9A-Za-z]{{{_ID_LENGTH}}}_[0-9A-Za-z]{{{tail}}}".encode()
    )


@lru_cache(maxsize=16)
def _compiled(namespace: str) -> re.Pattern[str]:
    return re.compile(
        rf"{re.escape(namespace)}_({'|'.join(ENVIRONMENTS)})"
        rf"_([0-9A-Za-z]{{{_ID_LENGTH}}})"
        rf"_([0-9A-Za-z]{{{_SECRET_LENGTH}}})[0-9A-Za-z]{{{_CRC_LENGTH}}}"
    )
