"""The reference site whose connections to PostgreSQL come from a pool of POOL_SIZE."""

from __future__ import annotations

import os

from project.settings import *  # noqa: F403
from project.settings import DATABASES

DATABASES["default"]["OPTIONS"] = {
    **DATABASES["default"].get("OPTIONS", {}),
    "pool": {"min_size": 1, "max_size": int(os.environ["POOL_SIZE"]), "timeout": 10},
}
