"""``apiguard check``: what is wrong with policy in the database, the counter, workers, webhooks.

What requests are judged by is compiled here too, so the problems are those that a
worker finds. Clients, overrides and keys are read a few hundred at a time; the
keys of issuers with a URL are fetched. Warnings do not change the exit status.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db.models import F
from django.utils import timezone

from ... import conf
from ...errors import PolicyError
from ...models import ApiKey, Client, LimitOverride, PolicyModel
from ...models.state import write_alias
from ...policy import jwks, load
from ...policy.compile import compile_rows
from ...policy.snapshot import RowProblem
from ...policy.warnings import read_warnings
from . import _counter, _webhooks, _workers
from ._console import Console, Options, SubCommand, found

CHUNK = 500


def run(console: Console, options: Options) -> None:
    """Print every problem; exit status 1 if there is one."""
    try:
        state, rows = load.rows(load.state())
    except load.PolicyMoved as error:
        raise found("Policy is being changed faster than it can be read. Try again.") from error
    snapshot = compile_rows(rows, revision=state.revision, stamp=state.stamp)
    problems = [
        *snapshot.problems,
        *jwks.fetch_problems(rows.issuers),
        *_client_problems(),
        *_override_problems(),
        *_key_problems(),
    ]
    warnings = read_warnings(snapshot)
    counter, workers = _counter.report(), _workers.report()
    webhooks = _webhooks.report()
    data = {
        "revision": state.revision,
        "problems": [_as_dict(problem) for problem in problems],
        "warnings": [_as_dict(warning) for warning in warnings],
        **counter.data(),
        **workers.data(),
        **webhooks.data(),
    }
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    lines = [line for problem in problems for line in _lines(problem)]
    lines += [line for warning in warnings for line in _lines(warning, "warning: ")]
    summary = f"Revision {state.revision}: {count if problems else 'in order'}."
    console.answer(data, [*lines, *counter.lines(), *workers.lines(), *webhooks.lines(), summary])
    wrong = [*counter.store.problems, *workers.problems]
    if problems:
        wrong.append(f"{count} in the policy. Mend the rows in the admin; the others are in force.")
    if wrong:
        raise found(" ".join(wrong))


def _client_problems() -> Iterator[RowProblem]:
    rows = Client._base_manager.using(write_alias()).order_by("pk")
    for row in rows.iterator(chunk_size=CHUNK):
        yield from (_problem(row, error) for error in row.problems())


def _override_problems() -> Iterator[RowProblem]:
    rows = LimitOverride._base_manager.using(write_alias()).order_by("pk")
    for row in rows.iterator(chunk_size=CHUNK):
        yield from (_problem(row, error) for error in row.problems())


def _key_problems() -> Iterator[RowProblem]:
    now = timezone.now()
    # Keys name their client: key names alone are not unique.
    rows = ApiKey._base_manager.using(write_alias()).annotate(of=F("client__slug")).order_by("pk")
    for row in rows.iterator(chunk_size=CHUNK):
        errors = [*row.problems(), *_pepper_problems(row, now)]
        yield from (_problem(row, error, f"{row.of}: {row}") for error in errors)


def _pepper_problems(row: ApiKey, now: datetime) -> list[PolicyError]:
    ended = row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now)
    if ended or not row.pepper_id or row.pepper_id in conf.current().key_peppers:
        return []
    return [
        PolicyError(
            "unknown_pepper",
            row.pepper_id,
            f"APIGUARD['KEY_PEPPERS'] has no pepper {row.pepper_id!r}, so this key is refused.",
            "Put the pepper back into the settings, or rotate the key.",
            field="pepper_id",
        )
    ]


def _problem(row: PolicyModel, error: PolicyError, name: str = "") -> RowProblem:
    return RowProblem(row._meta.model_name or "", row.pk, name or str(row), error)


def _as_dict(problem: RowProblem) -> dict[str, Any]:
    row = {"model": problem.model, "pk": problem.pk, "name": problem.name}
    return {**row, **problem.error.as_dict()}


def _lines(problem: RowProblem, kind: str = "") -> Iterator[str]:
    error = problem.error
    field = f", {error.field}" if error.field else ""
    yield f"{kind}{problem.model} {problem.name!r}{field}: {error.as_dict()['value']!r}"
    yield f"    {error.reason}"
    if error.hint:
        yield f"    {error.hint}"


COMMAND = SubCommand(
    "check", "Say what is wrong with the policy in the database, the counter, and the workers.", run
)
