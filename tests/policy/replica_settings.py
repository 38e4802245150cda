"""Settings of a site that reads from a replica that lags: it has seen nothing yet."""

from __future__ import annotations

import os
from typing import Any

from project.settings_test import *  # noqa: F403 - settings are a list of names
from project.settings_test import DATABASES, env

DATABASES["replica"] = env.db_url_config(os.environ["REPLICA_URL"])
DATABASE_ROUTERS = ["tests.policy.replica_settings.Lagging"]


class Lagging:
    """Reads from the replica, writes to the other one."""

    def db_for_read(self, model: type, **hints: Any) -> str:
        return "replica"

    def db_for_write(self, model: type, **hints: Any) -> str:
        return "default"

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        return True
