from __future__ import annotations

from tests.request.fresh import _fresh_process

__all__ = ["_fresh_process"]
