"""The middleware that docs/neighbours.md shows, as a project would copy it."""

from __future__ import annotations

from tests.fresh_project import CHECKOUT, blocks

_PAGE = CHECKOUT / "docs/neighbours.md"

for _language, _text in blocks(_PAGE):
    if _language == "python":
        exec(compile(_text, _PAGE.name, "exec"), globals())  # noqa: S102 - our own page
