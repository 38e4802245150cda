"""Look-ups that a request may cause: one key, one user. One query each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import Error as DatabaseError

from . import load
from .records import KeyRecord
from .snapshot import Snapshot

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser


class LookUpFailed(Exception):
    """The database did not answer."""


def key(snapshot: Snapshot, key_id: str) -> KeyRecord | None:
    """The record of a key, kept in the keyring of the snapshot that asked.

    Raises:
        LookUpFailed: the database did not answer.
    """
    try:
        record = load.key(key_id)
    except DatabaseError as error:
        raise LookUpFailed(str(error)) from error
    snapshot.keyring.put(key_id, record)
    return record


def user(field: str, value: object) -> AbstractBaseUser | None:
    """The active user whose ``field`` equals ``value``.

    Raises:
        LookUpFailed: the database did not answer.
    """
    try:
        return load.user(field, value)
    except DatabaseError as error:
        raise LookUpFailed(str(error)) from error
