"""Headless Chromium, for tests of what people see."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # Chromium's own sandbox refuses to run as root.
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    # It looks for updates and much else at every start; a test talks to loopback alone.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--window-size=1280,1000",
)


def chromium() -> str | None:
    """Where Chromium is, if it and its driver are installed."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    return found if found and shutil.which("chromedriver") else None


@contextmanager
def running_browser(binary: str) -> Iterator[webdriver.Chrome]:
    """A browser with an empty profile; its console is ``driver.get_log("browser")``."""
    with tempfile.TemporaryDirectory(prefix="apiguard-chromium-") as profile:
        options = Options()
        options.binary_location = binary
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        driver.set_page_load_timeout(60)
        try:
            yield driver
        finally:
            driver.quit()
