"""The one row that says which policy is in force, and how it moves on.

``publish()`` is called inside the transaction that writes policy, *before*
the first policy row is written: the UPDATE takes the row's lock, so revisions
commit in the order of their numbers and two editors queue instead of
deadlocking. The row also carries the last few changes, so that a worker which
was only a little behind knows which records to forget and keeps the rest.

Inside this process an unpublished change is a ``PendingChange`` among the
connection's ``on_commit`` callbacks. Django drops these on rollback, of a
savepoint too, so what is pending is always exactly what would be committed.
"""

from __future__ import annotations

import secrets
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from django.db import IntegrityError, connections, models, router, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..signals import after_commit, policy_published
from .audit import actor_in_force

# How many changes a worker may be behind and still keep its records.
RECENT = 64
# Of a change: the addresses whose failed credentials and sign-ins are counted from zero.
ADDRESSES = "addresses"
# A change of more records than this is written as "all of them".
NAMED = 100

What = Literal["policy", "keys", "clients", "everything"]


@dataclass(frozen=True, slots=True)
class Change:
    """What one write touched, as far as workers need to know it.

    Attributes:
        what: ``keys`` or ``clients`` (records of the keyring), the model name of
            compiled rows, ``policy`` (any compiled rows), or ``everything``.
        pks: of keys and clients those that were written, of compiled rows those
            that were deleted (written ones carry the revision); ``None``: any.
    """

    what: str
    pks: tuple[Any, ...] | None = None

    @classmethod
    def of(cls, what: str, pks: Iterable[Any] | None = None) -> Change:
        named = None if pks is None else tuple(pks)
        return cls(what, None if named is None or len(named) > NAMED else named)


everything = Change("everything")


class PendingChange:
    """Stands among a connection's ``on_commit`` callbacks until they run.

    ``held`` belongs to the reader: policy that was compiled while this was the
    newest pending change, good for requests inside the same transaction only.
    ``alive`` are the unpublished changes of all threads of this process.

    Args:
        using: the database that it was made in.
        revision: the one that it took, or shares.
        change: what it touches.
        scope: what its revision may be shared within; see ``one_revision``.
    """

    # References themselves, and no WeakSet: every request asks whether there are any.
    alive: ClassVar[set[weakref.ref[PendingChange]]] = set()

    def __init__(self, using: str, revision: int, change: Change, scope: object = None) -> None:
        self.using, self.revision, self.change, self.scope = using, revision, change, scope
        self.held: Any = None
        self._ref = weakref.ref(self, self.alive.discard)
        self.alive.add(self._ref)

    def __call__(self) -> None:
        if connections[self.using].in_atomic_block:
            return  # TestCase.captureOnCommitCallbacks(): nothing has been committed.
        self.alive.discard(self._ref)
        committed.note()

    @classmethod
    def newest(cls, using: str) -> PendingChange | None:
        """Return the last change that the open transaction of this thread made."""
        if not cls.alive:
            return None
        for entry in reversed(connections[using].run_on_commit):
            if isinstance(entry[1], cls):
                return entry[1]
        return None


class Committed:
    """Counts the changes of policy by this process, for the holder of its snapshot.

    ``count``: changes committed. ``epoch``: times that the tables themselves
    were replaced (``migrate``, ``flush``), so that nothing held means anything.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.count = 0
        self.epoch = 0
        self.count_before_epoch = 0

    def note(self) -> None:
        with self._lock:
            self.count += 1

    def start_over(self) -> None:
        with self._lock:
            self.epoch += 1
            self.count_before_epoch = self.count


committed = Committed()


def write_alias() -> str:
    """Return the database that policy is written to, and therefore read from."""
    return router.db_for_write(PolicyState)


class PolicyState(models.Model):
    """Revision and stamp of the policy in the database; one row, not editable.

    ``stamp`` is random and renewed with every revision, because numbers are
    reused by rolled-back tests and restored backups and stamps are not.
    ``changed_at`` is when that was, by the clock of the process that wrote it.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    revision = models.BigIntegerField(_("revision"), default=0, editable=False)
    stamp = models.CharField(_("stamp"), max_length=32, default="", editable=False)
    recent = models.JSONField(_("recent changes"), default=list, editable=False)
    changed_at = models.DateTimeField(_("changed at"), null=True, editable=False)

    class Meta:
        default_permissions = ()
        verbose_name = _("policy state")
        verbose_name_plural = _("policy state")
        constraints = (
            models.CheckConstraint(condition=models.Q(id=1), name="apiguard_one_policy_state"),
        )

    def __str__(self) -> str:
        return f"revision {self.revision}"

    def changes_since(self, revision: int, stamp: str) -> list[Change] | None:
        """Return what was changed after (revision, stamp), or ``None`` if that is unknown."""
        known = [(entry[0], entry[1]) for entry in self.recent]
        if (revision, stamp) not in known:
            return None
        # After the last entry of that revision: it may have several.
        later = self.recent[len(known) - known[::-1].index((revision, stamp)) :]
        return [Change(what, None if pks is None else tuple(pks)) for _r, _s, what, pks in later]


# What the writes of this thread share a revision within; None: each takes its own.
_scope: ContextVar[object] = ContextVar("apiguard_revision_scope", default=None)


@contextmanager
def one_revision() -> Iterator[None]:
    """Inside the block, all writes of one transaction share a revision.

    A revision is shared only while nobody has read policy since, so what a
    transaction sees of itself stays complete.
    """
    token = _scope.set(_scope.get() or object())
    try:
        yield
    finally:
        _scope.reset(token)


def publish(change: Change | Callable[[], Change], using: str | None = None) -> int:
    """Take the next revision for ``change``; to be called before the write.

    Must run inside ``transaction.atomic(using)``. A function is called when
    the lock is held: what it reads, nobody else changes before the commit.

    Returns:
        The new revision.

    Raises:
        TransactionManagementError: there is no open transaction.
    """
    alias = using or write_alias()
    if not connections[alias].in_atomic_block:
        raise transaction.TransactionManagementError("publish() needs an open transaction.")
    return _publish(change, alias, _scope.get())


def _publish(change: Change | Callable[[], Change], alias: str, scope: object) -> int:
    pending = PendingChange.newest(alias) if scope is not None else None
    if pending is not None and pending.held is None and pending.scope is scope:
        return _share(pending, change, alias)
    states = PolicyState.objects.using(alias)
    stamp = secrets.token_hex(8)
    if not _advance(alias, stamp):
        try:
            with transaction.atomic(using=alias):
                states.create(id=1)
        except IntegrityError:
            pass  # Somebody else made the row first; its lock is waited for below.
        _advance(alias, stamp)
    state = states.get(pk=1)
    if not isinstance(change, Change):
        change = change()
    pks = None if change.pks is None else list(change.pks)
    entry = [state.revision, stamp, change.what, pks]
    states.filter(pk=1).update(recent=_last([*state.recent, entry]))
    transaction.on_commit(PendingChange(alias, state.revision, change, scope), using=alias)
    actor = actor_in_force()
    named = {"by": actor.user, "by_name": actor.name, "reason": actor.reason}
    after_commit(policy_published, PolicyState, alias, revision=state.revision, **named)
    return state.revision


def _share(pending: PendingChange, change: Change | Callable[[], Change], alias: str) -> int:
    """Add a change to the revision of another one of this transaction, which holds the lock."""
    states = PolicyState.objects.using(alias).filter(pk=1)
    change = change if isinstance(change, Change) else change()
    if change != pending.change:
        state = states.get()
        states.update(recent=_with_change(state.recent, state.revision, state.stamp, change))
    transaction.on_commit(
        PendingChange(alias, pending.revision, change, pending.scope), using=alias
    )
    return pending.revision


def _with_change(recent: list[Any], revision: int, stamp: str, change: Change) -> list[Any]:
    """Return the recent changes with one more of the newest revision."""
    kept, pks = [], change.pks
    for entry in recent:
        if entry[:3] != [revision, stamp, change.what]:
            kept.append(entry)
        elif entry[3] is None or pks is None:
            pks = None
        else:
            pks = Change.of(change.what, dict.fromkeys([*entry[3], *pks])).pks
    return _last([*kept, [revision, stamp, change.what, None if pks is None else list(pks)]])


def _last(recent: list[Any]) -> list[Any]:
    """Return the last changes, and before them older ones that unlocked addresses.

    Who was unlocked is not to be locked again by edits of policy. No worker is at the
    revision of such an older entry any more, for its stamp is gone: what was changed after
    it is not known.
    """
    older = [entry for entry in recent[:-RECENT] if entry[2] == ADDRESSES]
    # Of an address that was unlocked several times, the last time counts.
    newest = {str(pks): [revision, None, what, pks] for revision, _, what, pks in older}
    unlocked = sorted(newest.values(), key=lambda entry: entry[0])
    return [*unlocked[-RECENT:], *recent[-RECENT:]]


# All signals of one transaction share a revision.
_SIGNALS = object()


def publish_once(change: Change, using: str) -> int:
    """Take one revision for all signals of a transaction, which come row by row; return it."""
    pending = PendingChange.newest(using)
    if pending is not None and pending.held is None and pending.change == change:
        return pending.revision
    return _publish(change, using, _scope.get() or _SIGNALS)


def _advance(alias: str, stamp: str) -> int:
    return (
        PolicyState.objects.using(alias)
        .filter(pk=1)
        .update(revision=models.F("revision") + 1, stamp=stamp, changed_at=timezone.now())
    )
