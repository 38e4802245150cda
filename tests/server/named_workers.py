"""The reference site, whose every response says which worker gave it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from project.wsgi import application as site
from tests.server.load import HEADER


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """WSGI (PEP 3333)."""

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        named = [*headers, (HEADER, str(os.getpid()))]
        return start_response(status, named, *([exc_info] if exc_info else []))

    answer: Iterable[bytes] = site(environ, start)
    return answer
