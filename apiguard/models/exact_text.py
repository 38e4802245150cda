"""Text that is compared exactly in MariaDB and MySQL too.

Their databases take "API" for "api", and "a" for "a" with a space behind it, unless a
column says otherwise. A key, an issuer or a path prefix that only resembles another one is
another one, as in PostgreSQL and SQLite. A migration calls ``compare_text_exactly`` after it
has made columns; people who search go on finding what they write in another case.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import AppConfig
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models.functions import Lower
from django.db.models.lookups import IContains


def compare_text_exactly(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Give every text column of apiguard, and every later one, a collation that is exact."""
    connection = schema_editor.connection
    if connection.vendor != "mysql":
        return
    text = f"CHARACTER SET utf8mb4 COLLATE {_exact_collation(connection)}"
    for model in apps.get_app_config("apiguard").get_models():
        changes = [f"DEFAULT {text}"]
        for field in text_fields(model):
            kind = f"{field.db_type(connection)} {text} {'' if field.null else 'NOT '}NULL"
            changes.append(f"MODIFY {schema_editor.quote_name(str(field.column))} {kind}")
        table = schema_editor.quote_name(model._meta.db_table)
        schema_editor.execute(f"ALTER TABLE {table} {', '.join(changes)}")


def keep_headers_unique(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Make the constraint ``apiguard_header_once`` of a column of its own, which only MariaDB has.

    It knows no constraint of expressions, so Django leaves this one out, with a warning.
    """
    if not getattr(schema_editor.connection, "mysql_is_mariadb", False):
        return
    table = apps.get_model("apiguard", "ResponseHeader")._meta.db_table
    types = f"content_types COLLATE {_exact_collation(schema_editor.connection)}"
    digest = f"SHA2(CONCAT_WS(':', policy_id, LOWER(name), {types}), 256)"
    schema_editor.execute(
        f"ALTER TABLE {schema_editor.quote_name(table)} "
        "ADD COLUMN once CHAR(64) CHARACTER SET ascii COLLATE ascii_bin "
        f"GENERATED ALWAYS AS ({digest}) VIRTUAL, "
        "ADD UNIQUE INDEX apiguard_header_once (once)"
    )


def _exact_collation(connection: BaseDatabaseWrapper) -> str:
    """The collation that knows neither case nor padding."""
    is_mariadb = getattr(connection, "mysql_is_mariadb", False)
    return "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"


def text_fields(model: type[models.Model]) -> Iterator[models.Field[Any, Any]]:
    """Yield fields of text; a reference is none, for its collation is that of its target."""
    for field in model._meta.local_concrete_fields:
        if isinstance(field, models.CharField | models.TextField):
            yield field


def search_in_any_case(config: AppConfig) -> None:
    """Let ``icontains`` ignore case in the exact columns, as in any other database."""
    for model in config.get_models():
        for field in text_fields(model):
            field.register_lookup(_ContainsInAnyCase)


class _ContainsInAnyCase(IContains):
    """``icontains`` that leaves nothing to the collation of the column."""

    def as_mysql(
        self, compiler: Any, connection: BaseDatabaseWrapper
    ) -> tuple[str, list[Any] | tuple[Any, ...]]:
        lowered = IContains(Lower(self.lhs), self.rhs.lower())
        return lowered.as_sql(compiler, connection)
