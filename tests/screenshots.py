"""Take screenshots of the admin pages: light and dark, 1280 and 390 pixels wide.

    scripts/screenshots [FOLDER] [--all] [--only WORD]

Without ``--all``, of the pages that docs/admin.md shows.

The pages are those of ``tests/admin/every_page.py``, with its rows, in a database
of their own that is removed afterwards.
"""

from __future__ import annotations

import argparse
import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.db import connections
from django.test import Client as Browser
from django.test.runner import DiscoverRunner
from django.test.testcases import LiveServerThread

from tests.admin import every_page
from tests.browser import chromium, running_browser

WIDTHS = (1280, 390)
THEMES = ("light", "dark")
DEFAULT_FOLDER = Path(__file__).parent.parent / "docs" / "images"
MAX_HEIGHT = 3000
DOCUMENTED = (
    "app index",
    "overview",
    "coverage",
    "explain",
    "find",
    "refusal change",
    "refusal grouped",
    "usage",
    "route changelist",
    "route change",
    "route enforce",
    "tier change",
    "client change",
    "apikey changelist",
    "policychange change",
)


@contextmanager
def site() -> Iterator[str]:
    """Serve the reference site with its rows; yield its base URL."""
    runner = DiscoverRunner(verbosity=0, interactive=False)
    runner.setup_test_environment(debug=False)
    old = runner.setup_databases()
    thread = LiveServerThread("127.0.0.1", StaticFilesHandler)
    try:
        thread.daemon = True
        thread.start()
        thread.is_ready.wait()
        yield f"http://127.0.0.1:{thread.port}"
    finally:
        thread.terminate()
        connections.close_all()
        runner.teardown_databases(old)
        runner.teardown_test_environment()


def sign_in(driver: Any, base: str) -> Browser:
    """Sign ``driver`` in as a superuser; return a browser without a screen for the same."""
    user = User.objects.create_superuser("operator", password="operator")
    every_page.make_rows(user)
    client = Browser()
    client.force_login(user)
    driver.get(f"{base}/admin/login/")
    driver.add_cookie({"name": "sessionid", "value": client.cookies["sessionid"].value})
    return client


def take(driver: Any, path: Path, width: int, theme: str) -> None:
    """Write the page that ``driver`` shows to ``path``, as high as it is."""
    feature = [{"name": "prefers-color-scheme", "value": theme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": feature})
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    height = driver.execute_script("return document.documentElement.scrollHeight")
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {**size, "height": min(height, MAX_HEIGHT)}
    )
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "webp", "quality": 60})
    path.write_bytes(base64.b64decode(shot["data"]))


def main() -> None:
    """Take the screenshots."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--only", default="", metavar="WORD", help="pages with WORD in their name")
    parser.add_argument("--all", action="store_true", help="every page")
    options = parser.parse_args()
    binary = chromium()
    if binary is None:
        parser.error("Chromium and chromedriver are not on PATH.")
    options.folder.mkdir(parents=True, exist_ok=True)
    with site() as base, running_browser(binary) as driver:
        for name, path in every_page.pages(sign_in(driver, base)).items():
            if options.only not in name or not (options.all or name in DOCUMENTED):
                continue
            driver.get(f"{base}{path}")
            for theme in THEMES:
                for width in WIDTHS:
                    file = f"{name.replace(' ', '-')}-{theme}-{width}.webp"
                    take(driver, options.folder / file, width, theme)
