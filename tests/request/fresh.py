"""Nothing that one test counted or noted is seen by the next."""

from __future__ import annotations

import pytest
from django.core.cache import cache

from apiguard.counters.factory import forget_counters
from apiguard.request import failed_credentials
from apiguard.telemetry.buffer import buffer


@pytest.fixture(autouse=True)
def _fresh_process():
    forget_counters()
    failed_credentials.forget()
    buffer._reset()
    cache.clear()
