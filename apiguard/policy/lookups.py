"""Look-ups that a request may cause: one key, one user. One query each.

While the database is known to be away nobody waits for it: what is not held
cannot be told. Where only look-ups fail, one of them tries in each pause.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, connections

from .. import conf
from ..models.state import write_alias
from . import load
from .backoff import Backoff
from .db_threads import DatabaseThreads, must_run_inline
from .holder import holder
from .look import ANSWER_SECONDS
from .records import KeyRecord
from .snapshot import Snapshot
from .status import redacted

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

T = TypeVar("T")

logger = logging.getLogger("apiguard.policy")

# Look-ups of this process at the same time; more wait their turn, no longer than for an answer.
crew = DatabaseThreads("apiguard-lookups", most=4)


class LookUpFailed(Exception):
    """The database did not answer, or is known not to."""


class Table:
    """Where look-ups of one kind go, and whether they fail."""

    def __init__(self, what: str, alias: Callable[[], str]) -> None:
        self._what, self._alias = what, alias
        self.backoff = Backoff()

    def ask(self, query: Callable[[], T]) -> T:
        """What ``query`` finds.

        Raises:
            LookUpFailed: the database did not answer, or is known not to.
        """
        # In tests one that fails on purpose must not fail those that follow.
        is_test = conf.current().policy_max_age is None
        if not is_test and (holder.cut_off or not self.backoff.claim()):
            raise LookUpFailed(f"{self._what} cannot be looked up: the database is away.")
        try:
            in_place = must_run_inline(self._alias())
            found = query() if in_place else crew.ask(query, ANSWER_SECONDS)
        except DatabaseError as error:
            # Others are answers: to a value that no row can have, or a table that is missing.
            if isinstance(error, OperationalError | InterfaceError):
                self._note_failure(error)
            else:
                logger.error("%s cannot be looked up (%s).", self._what, redacted(error))
            raise LookUpFailed(redacted(error)) from error
        if self.backoff.failing:
            logger.warning("%s can be looked up again.", self._what)
        self.backoff.succeeded()
        return found

    def _note_failure(self, error: Exception) -> None:
        if not self.backoff.failing:
            logger.error("%s cannot be looked up (%s).", self._what, redacted(error))
        self.backoff.failed()


keys = Table("Keys", write_alias)
users = Table("Users", load.user_alias)


def key(snapshot: Snapshot, key_id: str) -> KeyRecord | None:
    """The record of a key, kept in the keyring of the snapshot that asked.

    Raises:
        LookUpFailed: the database did not answer.
    """
    record = keys.ask(lambda: load.key(key_id))
    # An open transaction may see rows as they were before the others' snapshot was read.
    if not (holder.holds(snapshot) and connections[write_alias()].in_atomic_block):
        snapshot.keyring.put(key_id, record)
    return record


def user(field: str, value: object) -> AbstractBaseUser | None:
    """The active user whose ``field`` equals ``value``.

    Raises:
        LookUpFailed: the database did not answer.
    """
    return users.ask(lambda: load.user(field, value))
