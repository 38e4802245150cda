"""Writes docs/models.md from the models: ``python -m tests.models_page``.

``tests/test_docs.py`` fails where the page is not what this makes of the models now.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parent.parent / "docs" / "models.md"
COMMAND = "python -m tests.models_page"

HEAD = f"""\
# Models and fields

These are the rows that staff edit, and that [policy files](policy-as-code.md) and your own code
write. All are in `apiguard.models`. A list is a JSON list; in the admin it is one value per line.

A field without a default is *required*. *Empty* means that it may stay empty. `full_clean()`
refuses what the admin refuses; every write through a model or a queryset is
[a revision](policy.md#writing).

<!-- Written by {COMMAND}. -->
"""

EDITED = (
    *("Route", "CorsPolicy", "AllowedOrigin", "HeaderPolicy", "ResponseHeader", "Tier", "Limit"),
    *("Client", "LimitOverride", "ApiKey", "JwtIssuer", "BlockedNetwork"),
)
# Of the machinery; nobody edits them.
LEFT_OUT = {"id", "revision", "fetched_jwks", "fetched_at", "announced_end_at", "planned_end_at"}
KINDS = {
    "BooleanField": "yes or no",
    "DateTimeField": "time",
    "JSONField": "JSON object",
    "StringListField": "list",
    "PositiveIntegerField": "number",
    "PositiveBigIntegerField": "number",
    "PositiveSmallIntegerField": "number",
}
# What the forms need not say, because it stands beside the field there.
MEANINGS = {
    "Route.name": "What people call it, in the log and in the admin.",
    "Route.access": "Who may call: see [access](concepts.md#access-of-a-route).",
    "Route.header_policy": "Empty: no header is added or removed.",
    "AllowedOrigin.enabled": "If not, the pattern matches nothing.",
    "AllowedOrigin.note": "For people.",
    "ResponseHeader.condition": "On which requests the header is sent.",
    "ResponseHeader.mode": "`default` sets it where the view did not, `force` replaces it, "
    "`remove` takes it away.",
    "Tier.slug": "The name for commands, policy files and the claim of a token.",
    "Tier.name": "The name for people.",
    "Limit.kind": "`window`: any period of so many seconds; `quota`: a UTC calendar day or month.",
    "Limit.amount": "How many units are admitted.",
    "Limit.mode": "`shadow` counts and never refuses.",
    "Limit.on_store_failure": "See [when Redis is away](limits.md#when-redis-is-away).",
    "Client.slug": "The name for commands and policy files.",
    "Client.name": "The name for people.",
    "Client.owner": "The user who answers for the client.",
    "Client.metadata": "Yours; apiguard does not read it.",
    "LimitOverride.amount": "Instead of the limit's own.",
    "LimitOverride.reason": "For people.",
    "ApiKey.name": "What people call it.",
    "ApiKey.environment": "The part of the key's text after the namespace.",
    "ApiKey.key_id": "The public part, between the environment and the secret.",
    "ApiKey.digest": "HMAC-SHA-256 of the key. Use `ApiKey.objects.issue` to make one.",
    "ApiKey.pepper_id": "The pepper that made the digest. Empty: none.",
    "ApiKey.not_before": "Empty: at once.",
    "ApiKey.revoked_at": "For good; use `key.revoke`.",
    "ApiKey.replaces": "The key that was rotated.",
    "ApiKey.last_used_from": "The /24 or /48.",
    "JwtIssuer.name": "What people call it.",
    "JwtIssuer.max_lifetime": "Seconds from `iat` to `exp`. Empty: not checked.",
    "JwtIssuer.enabled": "If not, its tokens are refused.",
    "BlockedNetwork.reason": "For people; the caller never sees it.",
}


def page() -> str:
    """The text of the page. Django must be set up."""
    from apiguard import models

    parts = [HEAD]
    for name in EDITED:
        model = getattr(models, name)
        parts += [f"## {name}\n", f"{_first_line(model)}\n", "\n".join(_table(model)), ""]
    return "\n".join(parts)


def _first_line(model: Any) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


def _table(model: Any) -> Iterator[str]:
    yield "| field | default | meaning |"
    yield "|---|---|---|"
    for field in model._meta.get_fields():
        if field.concrete and field.name not in LEFT_OUT:
            yield f"| `{field.name}` | {_default(field)} | {_meaning(model, field)} |"


def _default(field: Any) -> str:
    if not field.has_default():
        return "empty" if field.blank or field.null else "required"
    if callable(field.default):
        made = field.default()
        return f"`{made!r}`" if isinstance(made, (list, dict)) else "now"
    if isinstance(field.default, bool):
        return "yes" if field.default else "no"
    return f"`{field.default}`" if str(field.default) else "empty"


def _meaning(model: Any, field: Any) -> str:
    kind = KINDS.get(type(field).__name__, "")
    if field.is_relation:
        kind = f"a `{field.related_model.__name__}`"
    if field.flatchoices:
        kind = ", ".join(f"`{value}`" for value, _ in field.flatchoices)
    text = MEANINGS.get(f"{model.__name__}.{field.name}", "") or _escaped(str(field.help_text))
    return ". ".join(part for part in (kind[:1].upper() + kind[1:], text) if part)


def _escaped(text: str) -> str:
    return text.replace("|", r"\|").replace("*", r"\*").replace("<", r"\<")


def main() -> None:
    """Write the page."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings_test")
    django.setup()
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
