"""A client for the counters' tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[Redis]:
    """A client on an empty database."""
    with Redis.from_url(redis_url, socket_timeout=5) as client:
        client.flushdb()
        yield client
