"""The reference site's settings with the views of the table of CORS."""

from __future__ import annotations

from project.settings import *  # noqa: F403 - settings are a list of names

ROOT_URLCONF = "tests.request.cors_site"
