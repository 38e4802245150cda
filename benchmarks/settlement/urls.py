"""A stream that settles one token per part, and writes down what it settled."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Generator
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import StreamingHttpResponse
from django.urls import path

from project.urls import urlpatterns as of_the_site

# Larger than a socket takes without a reader: a client that is gone is noticed.
PART = b"x" * 32_768


def note(tokens: int) -> None:
    """Append to the file of all workers; so few bytes are written as one."""
    file = os.open(os.environ["SETTLED_FILE"], os.O_WRONLY | os.O_APPEND)
    try:
        os.write(file, b"%d\n" % tokens)
    finally:
        os.close(file)


def parts(request: Any, tokens: int, pause: float) -> Generator[tuple[bytes, float], None, None]:
    sent = 0
    try:
        for _ in range(tokens):
            sent += 1
            yield PART, pause
    finally:
        request.apiguard.settle(tokens=sent)
        note(sent)


def at_once(request: Any, tokens: int) -> Generator[tuple[bytes, float], None, None]:
    """All tokens in one short part."""
    request.apiguard.settle(tokens=tokens)
    note(tokens)
    yield b"done", 0.0


def stream(steps: Generator[tuple[bytes, float], None, None]) -> Generator[bytes, None, None]:
    try:
        for part, pause in steps:
            yield part
            time.sleep(pause)
    finally:
        steps.close()


async def stream_async(steps: Generator[tuple[bytes, float], None, None]) -> AsyncIterator[bytes]:
    try:
        for part, pause in steps:
            yield part
            await asyncio.sleep(pause)
    finally:
        steps.close()


def complete(request: Any) -> StreamingHttpResponse:
    wanted = json.loads(request.body)
    tokens, pause = wanted["tokens"], wanted["pause"]
    is_short = wanted.get("is_short", False)
    steps = at_once(request, tokens) if is_short else parts(request, tokens, pause)
    body = stream_async(steps) if isinstance(request, ASGIRequest) else stream(steps)
    return StreamingHttpResponse(body, content_type="application/octet-stream")


urlpatterns = [path("api/complete", complete), *of_the_site]
