"""What a request through the middleware takes under two values of a setting, in turns."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any


def compare(
    key: str, off: Mapping[str, Any], on: Mapping[str, Any], *, requests: int, rounds: int
) -> tuple[list[float], list[float]]:
    """Return microseconds per request of each round, without and with.

    Args:
        key: the text of an API key that the route at ``/api/`` admits.
        off, on: members of ``APIGUARD`` that differ.
    """
    from django.conf import settings
    from django.http import HttpResponse
    from django.test import RequestFactory
    from django.test.utils import override_settings

    from apiguard.middleware import ApiGuardMiddleware

    middleware: Any = ApiGuardMiddleware(lambda request: HttpResponse(b"ok"))
    factory = RequestFactory(headers={"X-API-Key": key})
    measured: tuple[list[float], list[float]] = ([], [])

    def one_round() -> float:
        made = [factory.get("/api/") for _ in range(requests)]
        began = time.perf_counter()
        for request in made:
            if middleware(request).status_code != 200:
                raise SystemExit("The guard refused a request of the benchmark.")
        return (time.perf_counter() - began) / requests * 1e6

    for number in range(rounds):
        # In the other order every time, so that neither always comes first.
        for is_on in (False, True) if number % 2 else (True, False):
            with override_settings(APIGUARD={**settings.APIGUARD, **(on if is_on else off)}):
                one_round()  # Reads the settings and what they name.
                measured[is_on].append(one_round())
    return measured
