"""Header policies. One with an error breaks the routes that use it."""

from __future__ import annotations

from typing import Any

from ...models import ResponseHeader
from ..rows import Problems, Rows
from ..snapshot import HeaderRule, RowProblem

Headers = tuple[tuple[HeaderRule, ...], list[RowProblem]]


def header_policies(rows: Rows, problems: Problems) -> dict[Any, Headers]:
    """Rules and problems of every header policy, by its primary key."""
    policies: dict[Any, tuple[list[HeaderRule], list[RowProblem]]] = {
        row.pk: ([], problems.of(row)) for row in rows.header_policies
    }
    for row in rows.headers:
        wrong = problems.of(row)
        if row.policy_id not in policies:
            continue
        rules, broken = policies[row.policy_id]
        broken += wrong
        https_only = row.condition == ResponseHeader.Condition.HTTPS
        if not wrong:
            rules.append(HeaderRule(row.name, row.value, https_only, row.mode))
    return {pk: (tuple(rules), broken) for pk, (rules, broken) in policies.items()}
