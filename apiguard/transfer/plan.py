"""What applying a file would do, and whether it may be applied. Writes nothing.

The policy as it would be is compiled beside the policy of now. What would not compile, or
what the models refuse, is a problem of the plan; what was wrong before is not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from django.db.models import CASCADE, Count, QuerySet

from ..errors import BrokenReference, DocumentError
from ..models import ApiKey, Client, LimitOverride, PolicyModel
from ..models.state import write_alias
from ..policy.callers import read_callers
from ..policy.compile import compile_rows
from ..policy.consequences import CallerRecords, Callers, Statement, compare, compare_callers
from ..policy.records import client_record
from ..policy.snapshot import RowProblem, Snapshot
from .difference import Difference, compare_entries
from .documents import Document
from .entries import Entry, Policy, RowId, describe, read_policy
from .future_rows import compiled_rows, future_rows, mistakes, user_pks
from .policy_files import WAS, nearest, read_wanted
from .sections import BY_NAME, WITH_CLIENTS


@dataclass(frozen=True, slots=True)
class Plan:
    """A file held against the policy of one revision.

    Attributes:
        notes: what a person should know about entries that are created or renamed.
        does: what applying the file does to requests.
        pruning_does: what deleting the rows that are not in the file does besides; empty
            where they would be deleted, which is then part of ``does``.
        losses: what is lost besides if a row that is not in the file is deleted.
        problems: what makes it impossible; empty if the file can be applied.
    """

    policy: Policy
    difference: Difference
    notes: tuple[str, ...] = ()
    does: tuple[Statement, ...] = ()
    pruning_does: tuple[Statement, ...] = ()
    losses: Mapping[RowId, str] = field(default_factory=dict)
    problems: tuple[DocumentError, ...] = ()


def make_plan(document: Document, *, prune: bool = False) -> Plan:
    """Compare a document with the policy in the database.

    Args:
        prune: whether rows that are not in the file would be deleted.

    Raises:
        PolicyMoved: the policy changes faster than it can be read.
    """
    wanted = read_wanted(document)
    policy = read_policy(with_clients=bool(WITH_CLIENTS & set(document.data)))
    if wanted.problems:
        return Plan(policy, Difference(), problems=tuple(wanted.problems))
    difference = compare_entries(policy.entries, wanted, document)
    users = user_pks(_written(difference))
    problems = [*difference.problems, *_missing_users(difference, users, document)]
    plan = Plan(policy, difference, tuple(_notes(difference)), problems=tuple(problems))
    if problems or not (difference.created or difference.changed or difference.absent):
        return plan
    future = future_rows(policy, difference, users, prune=prune)
    now, then = (compile_rows(compiled_rows(rows.values())) for rows in (policy.rows, future))
    problems += _clashes(policy, difference, document, prune=prune)
    if prune:
        problems += _protected(policy, difference.absent, future, wanted.entries)
    problems += _refusals(policy, difference, document, future, new_problems(now, then))
    callers = read_callers()
    pruning_does: tuple[Statement, ...] = ()
    if difference.absent and not prune:
        pruned = future_rows(policy, difference, users, prune=True)
        after = compile_rows(compiled_rows(pruned.values()))
        pruning_does = (
            *compare(then, after, callers),
            *_compare_clients(future, pruned, (then, after)),
        )
    return replace(
        plan,
        does=(*compare(now, then, callers), *_compare_clients(policy.rows, future, (now, then))),
        pruning_does=pruning_does,
        losses=_losses(policy, difference.absent, callers),
        problems=tuple(dict.fromkeys(problems)),
    )


def _compare_clients(
    before: Mapping[RowId, PolicyModel],
    after: Mapping[RowId, PolicyModel],
    policies: tuple[Snapshot, Snapshot],
) -> tuple[Statement, ...]:
    """Return what becomes of clients whose own row, or an override of which, is another one."""
    old, new = ({id(row): row for row in rows.values()} for rows in (before, after))
    touched = {_client_pk({**old, **new}[row]) for row in old.keys() ^ new.keys()}
    records = [_caller_records(rows.values(), touched) for rows in (before, after)]
    return compare_callers(records[0], records[1], policies, datetime.now(UTC))


def _client_pk(row: PolicyModel) -> Any:
    return row.pk if isinstance(row, Client) else getattr(row, "client_id", None)


def _caller_records(rows: Iterable[PolicyModel], pks: Container[Any]) -> CallerRecords:
    clients, overrides = [], defaultdict[Any, list[LimitOverride]](list)
    for row in rows:
        if isinstance(row, Client) and row.pk in pks:
            clients.append(row)
        elif isinstance(row, LimitOverride):
            overrides[row.client_id].append(row)
    return CallerRecords({row.pk: client_record(row, overrides[row.pk]) for row in clients})


def _written(difference: Difference) -> list[Entry]:
    return [*difference.created, *(changed.after for changed in difference.changed)]


def _missing_users(
    difference: Difference, users: Mapping[RowId, Any], document: Document
) -> Iterator[DocumentError]:
    for entry in _written(difference):
        for name, value in entry.values.items():
            if isinstance(value, tuple) and not value[0] and value not in users:
                reason = f"There is no user {value[1]!r}."
                yield document.error((*entry.path, name), "missing_user", reason)


def _clashes(
    policy: Policy, difference: Difference, document: Document, *, prune: bool
) -> Iterator[DocumentError]:
    """Yield values that may stand in one row only, and that another row would have too."""
    absent = {entry.id for entry in difference.absent}
    written = _written(difference)
    replaced = {changed.before.id for changed in difference.changed} | (absent if prune else set())
    kept = [entry for entry in policy.entries.values() if entry.id not in replaced]
    for entry in written:
        section = BY_NAME[entry.id[0]]
        for name, each in section.fields.items():
            if not each.unique or name in section.natural:
                continue
            others = [
                other.id
                for other in (*kept, *written)
                if other.id[0] == entry.id[0]
                and other is not entry
                and other.values[name] == entry.values[name]
            ]
            if others:
                reason = f"{describe(others[0])} has the same {name}."
                hint = "Give one of them another value."
                if others[0] in absent:
                    hint = f"If it is the same row under another name, add: {WAS}: {others[0][-1]}"
                yield document.error((*entry.path, name), "not_unique", reason, hint)


def _refusals(
    policy: Policy,
    difference: Difference,
    document: Document,
    future: Mapping[RowId, PolicyModel],
    found: Iterable[RowProblem],
) -> Iterator[DocumentError]:
    """Yield what models and compiler say of the policy as it would be, and do not say of it now."""
    former = {changed.after.id: changed.before.id for changed in difference.changed}
    written = {entry.id: entry for entry in _written(difference)}
    reported: set[tuple[RowId, str]] = set()
    for row_id, entry in written.items():
        before = set(mistakes(copy(policy.rows[former[row_id]]))) if row_id in former else set()
        for name, sentence in mistakes(future[row_id]):
            if (name, sentence) not in before:
                reported.add((row_id, name))
                yield refusal(document, entry, name, sentence)
    by_row = {(type(row)._meta.model_name, row.pk): row_id for row_id, row in future.items()}
    for problem in found:
        row_id = by_row[problem.model, problem.pk]
        # A reference to a row that would be deleted has been reported by name.
        is_reported = (row_id, problem.error.field) in reported
        is_reference = isinstance(problem.error, BrokenReference)
        if not (is_reported or is_reference):
            yield _located(problem, row_id, written, document)


def new_problems(before: Snapshot, after: Snapshot) -> Iterator[RowProblem]:
    """Yield the problems of a policy that another one does not have."""
    known = {(problem.model, problem.pk, problem.error) for problem in before.problems}
    for problem in after.problems:
        if (problem.model, problem.pk, problem.error) not in known:
            yield problem


def refusal(document: Document, entry: Entry, name: str, sentence: str) -> DocumentError:
    """Return what validation says of a field of an entry, at its place in the file."""
    path = (*entry.path, name) if name else entry.path
    each = BY_NAME[entry.id[0]].fields.get(name)
    choices = [str(value) for value, _ in each.flatchoices] if each is not None else []
    if not choices:
        return document.error(path, "refused", sentence)
    meant = nearest(str(entry.values[name]), choices)
    hint = "" if meant else f"Write one of {', '.join(choices)}."
    return document.error(path, "refused", sentence, hint, suggestion=meant)


def _located(
    problem: RowProblem, row_id: RowId, written: Mapping[RowId, Entry], document: Document
) -> DocumentError:
    error = problem.error
    field = (error.field,) if error.field else ()
    if row_id in written:
        return document.error((*written[row_id].path, *field), error.code, error.reason, error.hint)
    reason = f"{describe(row_id)}: {error.reason}"
    return DocumentError(error.code, "", reason, error.hint)


# -- rows that are not in the file --------------------------------------------------------


def _pks(policy: Policy, absent: Iterable[Entry], name: str) -> dict[Any, RowId]:
    return {policy.rows[entry.id].pk: entry.id for entry in absent if entry.id[0] == name}


def _count(rows: QuerySet[Any], column: str, pks: Iterable[Any]) -> Mapping[Any, int]:
    counted = rows.filter(**{f"{column}__in": list(pks)}).order_by().values_list(column)
    return dict(counted.annotate(Count("pk")))


def _losses(policy: Policy, absent: Iterable[Entry], callers: Callers) -> dict[RowId, str]:
    """Return what is lost with a row besides itself."""
    losses: dict[RowId, str] = {}
    for pk, row_id in _pks(policy, absent, "limits").items():
        count = f" ({callers.overrides[pk]})" if pk in callers.overrides else ""
        losses[row_id] = f"counters and overrides{count} of {describe(row_id)} are lost"
    return losses


def _protected(
    policy: Policy,
    absent: Iterable[Entry],
    future: Mapping[RowId, PolicyModel],
    wanted: Container[RowId],
) -> Iterator[DocumentError]:
    """Yield rows that would be deleted, and that something still refers to."""
    absent = list(absent)
    gone = {name: _pks(policy, absent, name) for name in BY_NAME}
    for row_id, row in future.items():
        section = BY_NAME[row_id[0]]
        for name, target in section.references.items():
            each: Any = section.fields[name]
            referred = gone.get(target, {}).get(getattr(row, each.attname))
            # An override that is not in the file goes with its limit.
            goes_along = each.remote_field.on_delete is CASCADE and row_id not in wanted
            if referred is not None and not goes_along:
                reason = (
                    f"{describe(referred)} is not in the file, and {describe(row_id)} needs it."
                )
                yield _protected_error(reason, "Write it into the file, or change what needs it.")
    keys = ApiKey._base_manager.using(write_alias())
    for pk, count in _count(keys, "client_id", gone["clients"]).items():
        reason = f"{describe(gone['clients'][pk])} has keys ({count}), which are never deleted."
        yield _protected_error(reason, "Write the client into the file, with enabled: false.")
    if not policy.has_clients:
        clients = Client._base_manager.using(write_alias())
        for pk, count in _count(clients, "tier_id", gone["tiers"]).items():
            reason = f"{describe(gone['tiers'][pk])} still has clients ({count})."
            yield _protected_error(reason, "Give them another tier, or write it into the file.")


def _protected_error(reason: str, hint: str) -> DocumentError:
    return DocumentError("protected", "", reason, hint)


def _notes(difference: Difference) -> Iterator[str]:
    siblings: dict[RowId, list[Entry]] = {}
    for entry in difference.created:
        siblings.setdefault(entry.id[:-1], []).append(entry)
        if entry.was:
            old = (*entry.id[:-1], entry.was)
            yield f"There is no {describe(old)}: {describe(entry.id)} is new."
    for entry in difference.absent:
        new = siblings.get(entry.id[:-1], [])
        if BY_NAME[entry.id[0]].has_names and len(new) == 1:
            yield (
                f"{describe(new[0].id)} is new, and {describe(entry.id)} is not in the file. If "
                f"it is the same under another name, add to it: {WAS}: {entry.id[-1]}"
            )
