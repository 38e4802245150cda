"""The Swagger page works under the content security policy that its route sends."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.servers import gunicorn

pytestmark = [pytest.mark.slow, pytest.mark.browser]


def test_the_page_lists_the_operations_and_violates_nothing(browser, demo_site_in_memory):
    with gunicorn(demo_site_in_memory.env, workers=1, threads=4) as server:
        browser.get(f"{server.base_url}/api/docs/")
        paths = WebDriverWait(browser, 60).until(
            lambda page: page.find_elements(By.CSS_SELECTOR, ".opblock-summary-path")
        )
        listed = {path.text.replace("\u200b", "") for path in paths}
        console = [entry["message"] for entry in browser.get_log("browser")]
    assert "/api/users/me" in listed
    assert [message for message in console if "Content Security Policy" in message] == []
