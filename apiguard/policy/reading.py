"""From the state row to the policy in force: what is read anew, and what is kept."""

from __future__ import annotations

from dataclasses import dataclass, replace

from django.db import Error as DatabaseError

from ..models.state import Change, PolicyState
from . import load
from .compile import compile_rows
from .keyring import Keyring
from .snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Reading:
    """Policy as it was read.

    Attributes:
        snapshot: ``None`` before apiguard's tables are made.
        published_at: epoch seconds, by the clock of whoever published it.
    """

    snapshot: Snapshot | None
    published_at: float | None = None


def anew() -> Reading:
    """All policy, read and compiled now.

    Raises:
        django.db.Error, load.PolicyMoved: it cannot be read.
    """
    return _compiled(load.state())


def following(held: Snapshot | None, state: PolicyState) -> Reading:
    """The policy of ``state``, keeping of ``held`` whatever did not change.

    Raises:
        django.db.Error, load.PolicyMoved: it cannot be read.
    """
    if held is None:
        return _compiled(state)
    if (held.revision, held.stamp) == (state.revision, state.stamp):
        return Reading(held, _published(state))
    if not state.revision:
        raise load.PolicyMoved("Its state row is gone; run manage.py apiguard publish.")
    changes = state.changes_since(held.revision, held.stamp)
    if changes is not None and all(change.what in ("keys", "clients") for change in changes):
        keyring = _kept(held.keyring, changes)
        kept = replace(held, revision=state.revision, stamp=state.stamp, keyring=keyring)
        return Reading(kept, _published(state))
    # The revision may have moved on while rows were read: later changes count too.
    after, rows = load.rows(state)
    snapshot = compile_rows(rows, revision=after.revision, stamp=after.stamp)
    keyring = _kept(held.keyring, after.changes_since(held.revision, held.stamp))
    return Reading(replace(snapshot, keyring=keyring), _published(after))


def tables_are_missing(held: Snapshot | None) -> bool:
    """Whether ``migrate`` is still to come; tables that vanish are a failed read."""
    if held is not None and held.revision > 0:
        return False
    try:
        return not load.was_migrated()
    except DatabaseError:
        return False


def _compiled(state: PolicyState) -> Reading:
    after, rows = load.rows(state)
    snapshot = compile_rows(rows, revision=after.revision, stamp=after.stamp)
    return Reading(snapshot, _published(after))


def _published(state: PolicyState) -> float | None:
    return None if state.changed_at is None else state.changed_at.timestamp()


def _kept(keyring: Keyring, changes: list[Change] | None) -> Keyring:
    """The records that these changes (``None``: unknown ones) did not touch."""
    if changes is None or any(change.what == "everything" for change in changes):
        return Keyring()
    return keyring.without(_pks(changes, "keys"), _pks(changes, "clients"))


def _pks(changes: list[Change], what: str) -> set[object] | None:
    named: set[object] = set()
    for change in changes:
        if change.what != what:
            continue
        if change.pks is None:
            return None
        named.update(change.pks)
    return named
