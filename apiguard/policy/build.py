"""From the state row to the policy in force: a full build, or what changed since another one.

An incremental build reads the rows that carry a later revision than the held
one, takes out those that the state row names as deleted, and compiles what
they touch. It needs the held revision among the state row's recent changes; a
worker that is too far behind, a restored backup and ``apiguard publish`` mean
a full build.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from django.db import Error as DatabaseError

from ..models.state import ADDRESSES, Change, PolicyState
from . import load
from .compile import compile_rows, may_be_shared, recompile
from .keyring import Keyring
from .rows import MODELS, Delta
from .snapshot import Snapshot

# Members of ``Rows`` by the names that changes have for them.
_MEMBERS = {model._meta.model_name: member for member, model in MODELS.items()}
_RECORDS = frozenset({"keys", "clients", ADDRESSES})


@dataclass(frozen=True, slots=True)
class Reading:
    """Policy as it was read.

    Attributes:
        snapshot: ``None`` before apiguard's tables are made.
        published_at: epoch seconds, by the clock of the process that published it.
    """

    snapshot: Snapshot | None
    published_at: float | None = None


def full(state: PolicyState | None = None) -> Reading:
    """Return all policy, read and compiled now.

    Raises:
        django.db.Error, load.PolicyMoved: it cannot be read.
    """
    after, rows = load.rows(state or load.state())
    snapshot = compile_rows(rows, revision=after.revision, stamp=after.stamp)
    return Reading(replace(snapshot, unlocked=_unlocked(after)), _published(after))


def incremental(held: Snapshot | None, state: PolicyState) -> Reading:
    """Return the policy of ``state``, sharing with ``held`` whatever did not change.

    Raises:
        django.db.Error, load.PolicyMoved: it cannot be read.
    """
    if held is None:
        return full(state)
    if (held.revision, held.stamp) == (state.revision, state.stamp):
        return Reading(held, _published(state))
    if not state.revision:
        raise load.PolicyMoved("Its state row is gone; run manage.py apiguard publish.")
    changes = _since(held, state)
    if changes is not None and all(change.what in _RECORDS for change in changes):
        return _successor(held, held, state)
    if _members(changes) is None or not may_be_shared(held):
        after, rows = load.rows(state)
        return _successor(held, compile_rows(rows), after)
    # The revision may move on while rows are read: later changes count too.
    after, rows = load.differences(
        state, held.revision, lambda now: _members(_since(held, now)) or ()
    )
    deleted = _members(_since(held, after))
    if deleted is None:
        after, rows = load.rows(after)
        return _successor(held, compile_rows(rows), after)
    return _successor(held, recompile(held, Delta(rows, deleted)), after)


def tables_are_missing(held: Snapshot | None) -> bool:
    """Whether ``migrate`` is still to come; tables that vanish are a failed read."""
    if held is not None and held.revision > 0:
        return False
    try:
        return not load.was_migrated()
    except DatabaseError:
        return False


def _published(state: PolicyState) -> float | None:
    return None if state.changed_at is None else state.changed_at.timestamp()


def _since(held: Snapshot, state: PolicyState) -> list[Change] | None:
    return state.changes_since(held.revision, held.stamp)


def _members(changes: list[Change] | None) -> dict[str, frozenset[Any]] | None:
    """Members of ``Rows`` that changed, with the rows that are gone; ``None``: it is not known."""
    members: dict[str, frozenset[Any]] = {}
    for change in changes or ():
        member = _MEMBERS.get(change.what)
        if member is None and change.what in _RECORDS:
            continue
        if member is None or change.pks is None:
            return None
        members[member] = members.get(member, frozenset()) | frozenset(change.pks)
    return None if changes is None else members


def _successor(held: Snapshot, compiled: Snapshot, state: PolicyState) -> Reading:
    """``compiled`` as the policy of ``state``, with the records of ``held`` that did not change."""
    keyring = _kept(held.keyring, _since(held, state))
    snapshot = replace(
        compiled,
        revision=state.revision,
        stamp=state.stamp,
        keyring=keyring,
        unlocked=_unlocked(state),
    )
    return Reading(snapshot, _published(state))


def _unlocked(state: PolicyState) -> tuple[tuple[int, str], ...]:
    """Return the addresses that recent changes unlocked, each with its revision."""
    return tuple(
        (revision, str(pk))
        for revision, _stamp, what, pks in state.recent
        if what == ADDRESSES
        for pk in pks or ()
    )


def _kept(keyring: Keyring, changes: list[Change] | None) -> Keyring:
    """Return the records that these changes (``None``: unknown ones) did not touch."""
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
