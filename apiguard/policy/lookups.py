"""Look-ups that a request may cause: one key, one user. One query each.

Requests that need the same key at the same time share one query; more queries
than there are threads wait their turn. While the database is known to be away
nobody waits for it: what is not held is not known. Where only look-ups fail, one
of them tries in each pause. That all threads are busy is no failure of the database.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, connections

from .. import conf
from ..concurrency import Busy, CircuitBreaker, Phase, SingleFlight, TimedOut, wait
from ..models.state import write_alias
from . import clock, load
from .db_threads import DatabaseThreads, NoAnswer, must_run_inline
from .holder import holder
from .keyring import Keyring
from .records import KeyRecord
from .refresh import ANSWER_SECONDS
from .snapshot import Snapshot
from .status import redacted

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

T = TypeVar("T")

logger = logging.getLogger("apiguard.policy")

# Queries of this process at the same time; others wait their turn, no longer than for an answer.
threads = DatabaseThreads("apiguard-lookups", most=4, max_queue=1_000)


class LookUpFailed(Exception):
    """The database did not answer in time, or is known not to."""


class Table:
    """Where look-ups of one kind go, and whether they fail."""

    def __init__(self, what: str, alias: Callable[[], str]) -> None:
        self._what, self._alias = what, alias
        self.breaker = CircuitBreaker(clock=lambda: clock.seconds(), failures=1)

    @property
    def is_read_inline(self) -> bool:
        """Whether queries are run by the thread that needs them."""
        return must_run_inline(self._alias())

    def find(self, query: Callable[[], T]) -> T:
        """Return what ``query`` finds.

        Raises:
            LookUpFailed: the database did not answer, or is known not to.
        """
        phase = self._allowed()
        try:
            found = query() if self.is_read_inline else threads.call(query, ANSWER_SECONDS)
        except Busy as error:
            self.breaker.learnt_nothing(phase)
            logger.warning("%s cannot be looked up: too many at once.", self._what)
            raise LookUpFailed("Too many look-ups at once.") from error
        except TimedOut as error:
            failure = NoAnswer(f"The database did not answer within {ANSWER_SECONDS:g} s.")
            self._note_failure(phase, failure)
            raise LookUpFailed(redacted(failure)) from error
        except DatabaseError as error:
            self._note_failure(phase, error)
            raise LookUpFailed(redacted(error)) from error
        except Exception as error:
            # A driver's or a wrapper's own: no request ends with a traceback for it.
            self.breaker.learnt_nothing(phase)
            logger.exception("%s cannot be looked up.", self._what)
            raise LookUpFailed(redacted(error)) from error
        if self.breaker.succeeded(phase):
            logger.warning("%s can be looked up again.", self._what)
        return found

    def _allowed(self) -> Phase:
        # In tests one that fails on purpose must not fail those that follow.
        if conf.current().policy_max_age is None:
            return Phase()
        phase = None if holder.cut_off else self.breaker.allowed()
        if phase is None:
            raise LookUpFailed(f"{self._what} cannot be looked up: the database is away.")
        return phase

    def _note_failure(self, phase: Phase, error: DatabaseError) -> None:
        if isinstance(error, OperationalError | InterfaceError):
            # In tests no circuit opens, and each failure is news; see ``_allowed``.
            is_news = self.breaker.failed(phase) or conf.current().policy_max_age is None
        else:
            # An answer: to a value that no row can have, or a table that is missing.
            self.breaker.succeeded(phase)
            is_news = True
        if is_news:
            logger.error("%s cannot be looked up (%s).", self._what, redacted(error))


keys = Table("Keys", write_alias)
users = Table("Users", load.user_alias)

# By keyring, because what one snapshot's request has begun to read may be too old for the next.
_flights: SingleFlight[tuple[Keyring, str], KeyRecord | None] = SingleFlight()


def key(snapshot: Snapshot, key_id: str) -> KeyRecord | None:
    """Return the record of a key, and keep it in the keyring of this snapshot.

    Raises:
        LookUpFailed: the database did not answer.
    """
    keyring = snapshot.keyring
    # An open transaction may see rows as they were before the others' snapshot was read.
    is_private = holder.holds(snapshot) and connections[write_alias()].in_atomic_block

    def query() -> KeyRecord | None:
        record = load.key(key_id)
        # Here, because it is worth keeping even if nobody waits for it any more.
        if not is_private:
            keyring.put(key_id, record)
        return record

    if keys.is_read_inline:
        return keys.find(query)
    flight, is_mine = _flights.join((keyring, key_id))
    if not is_mine:
        if not wait(flight.done, ANSWER_SECONDS):
            raise LookUpFailed("Another request's look-up of this key takes too long.")
        return flight.outcome()
    failure: Exception | None = LookUpFailed("The request that looked this key up was ended.")
    record = None
    try:
        record, failure = keys.find(query), None
    except LookUpFailed as error:
        failure = error
        raise
    finally:
        _flights.finish((keyring, key_id), flight, record, failure)
    return record


def read_key(key_id: str) -> KeyRecord | None:
    """Return the record of a key from its row, and keep it nowhere.

    Raises:
        LookUpFailed: the database did not answer.
    """
    return keys.find(lambda: load.key(key_id))


def read_client_keys(snapshot: Snapshot, slug: str) -> list[KeyRecord]:
    """Return the records of a client's keys, and keep none; empty if there is no such client.

    Raises:
        LookUpFailed: the database did not answer.
    """
    if snapshot.keyring.closed:
        return snapshot.keyring.records_of(slug)
    return keys.find(lambda: load.client_keys(slug))


def user(field: str, value: object) -> AbstractBaseUser | None:
    """Return the active user whose ``field`` equals ``value``.

    Raises:
        LookUpFailed: the database did not answer.
    """
    return users.find(lambda: load.user(field, value))
