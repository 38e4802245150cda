"""The text of keys that djangorestframework-api-key made: ``<prefix8>.<secret32>``.

That package stores the SHA-512 of a key's text. What apiguard stores of an imported key is
the digest of that hash, under the pepper, so its text is not needed for the import.
"""

from __future__ import annotations

import hashlib
import re

from . import keys
from .keys import KeyParts

LENGTH = 8 + 1 + 32
_FORM = re.compile(r"([0-9A-Za-z]{8})\.([0-9A-Za-z]{32})")
# Inside a longer text; its ends must be those of a word, because any text has eight letters.
# What is escaped ("%22", "\\n") is no part of a word.
_MASKABLE = re.compile(
    r"(?:(?<![0-9A-Za-z])|(?<=%[0-9A-Fa-f]{2})|(?<=\\[a-z]))"
    r"([0-9A-Za-z]{8})\.[0-9A-Za-z]{32}(?![0-9A-Za-z])"
)
# The encoding of the package's hasher: algorithm, empty salt, 64 bytes in hexadecimal.
_STORED = re.compile(r"sha512\$\$([0-9a-f]{128})")


def parse(text: str) -> KeyParts | None:
    """Return the parts of ``text``, or None if it has not the form of such a key.

    ``text`` of the result is the hash that stands for the key.
    """
    match = _FORM.fullmatch(text) if len(text) == LENGTH else None
    if match is None:
        return None
    prefix, secret = match.groups()
    hashed = hashlib.sha512(text.encode("ascii")).hexdigest()
    return KeyParts("", "live", prefix, secret, hashed)


def parse_any(text: str, namespace: str) -> KeyParts | None:
    """Return the parts of a key of ``namespace``, or of an imported one; None for anything else."""
    return keys.parse(text, namespace) or parse(text)


def mask_any(text: str, namespace: str) -> str:
    """``text`` with the secret of every key in it, imported or not, made unreadable."""
    text = keys.mask(text, namespace)
    return _MASKABLE.sub(r"\1._…", text) if "." in text else text


def read_stored(encoded: str) -> str | None:
    """Return the hash in ``hashed_key``; None for one of the package's older hashers."""
    match = _STORED.fullmatch(encoded)
    return None if match is None else match[1]
