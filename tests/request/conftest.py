from __future__ import annotations

from tests.request.fresh import _fresh_process
from tests.request.two_steps import events, store

__all__ = ["_fresh_process", "events", "store"]
