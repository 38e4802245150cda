"""The reference site with one more view."""

from __future__ import annotations

from project.settings import *  # noqa: F403

ROOT_URLCONF = "benchmarks.settlement.urls"
