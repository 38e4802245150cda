"""Policy as a document: what ``apiguard export`` prints.

The same policy gives the same bytes, on every database. Rows are sorted by name; limits
and headers keep their order, because headers of responses show it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..models import PolicyModel
from .entries import Entries, Entry, Policy, RowId, name_of
from .sections import WITH_CLIENTS, Section, children_of, top_sections
from .yaml_reader import Path
from .yaml_writer import write_yaml

VERSION = 1
KEEP_ORDER = frozenset({"limits", "headers"})

HEAD = """\
# The policy of apiguard, as manage.py apiguard export writes it. Keys and secrets are not in it.
# See what a change would do: manage.py apiguard plan FILE. Make it: manage.py apiguard apply FILE.
"""


def as_yaml(policy: Policy, *, clients: bool) -> str:
    """Return the policy as YAML, with comments."""
    data = as_data(policy.entries, clients=clients)
    return f"{HEAD}\n{write_yaml(data, _comments(data, policy.rows))}"


def as_json(policy: Policy, *, clients: bool) -> str:
    """Return the policy as JSON, without a line break at its end."""
    return json.dumps(as_data(policy.entries, clients=clients), indent=2, ensure_ascii=False)


def as_data(entries: Entries, *, clients: bool) -> dict[str, Any]:
    """Return the document of these entries; every section is in it, also an empty one."""
    by_parent: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries.values():
        by_parent.setdefault((entry.id[0], entry.parent), []).append(entry)
    return {
        "version": VERSION,
        **{
            section.name: _rows(section, "", by_parent)
            for section in top_sections()
            if clients or section.name not in WITH_CLIENTS
        },
    }


def _rows(
    section: Section, parent: str, by_parent: Mapping[tuple[str, str], list[Entry]]
) -> list[dict[str, Any]]:
    found = by_parent.get((section.name, parent), [])
    if section.name not in KEEP_ORDER:
        found = sorted(found, key=lambda entry: entry.id)
    return [_row(section, entry, by_parent) for entry in found]


def _row(
    section: Section, entry: Entry, by_parent: Mapping[tuple[str, str], list[Entry]]
) -> dict[str, Any]:
    shown = {name: entry.values[name] for name in (*section.natural, *section.fields)}
    row = {
        name: shown_value(value)
        for name, value in shown.items()
        if name in section.natural[:1] or not is_empty_default(section, name, value)
    }
    for child in children_of(section):
        row[child.name] = _rows(child, entry.id[1], by_parent)
    return row


def shown_value(value: Any) -> Any:
    """Return a value as files hold it: a reference is the name of its row."""
    return name_of(value) if isinstance(value, tuple) else value


def is_empty_default(section: Section, name: str, value: Any) -> bool:
    """Whether a field says nothing, and is what it is where a file leaves it out."""
    return value in (None, "", [], {}) and value == section.fields[name].get_default()


def _comments(data: Mapping[str, Any], rows: Mapping[RowId, PolicyModel]) -> dict[Path, str]:
    comments: dict[Path, str] = {}
    for number, issuer in enumerate(data["issuers"]):
        if "secret_name" in issuer:
            path = ("issuers", number, "secret_name")
            comments[path] = "a name in APIGUARD['JWT_SECRETS'] of the settings"
    for number, tier in enumerate(data["tiers"]):
        for at, limit in enumerate(tier["limits"]):
            row: Any = rows["limits", tier["slug"], limit["name"]]
            if not row.problems():
                comments["tiers", number, "limits", at, "amount"] = row.rate
    return comments
