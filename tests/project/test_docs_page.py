"""The Swagger page works under the content security policy that its route sends."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.servers import gunicorn, manage

pytestmark = [pytest.mark.slow, pytest.mark.browser]

# One policy for JSON and for pages, on the docs and on the desk.
ONE_POLICY = """
from apiguard.models import *
from project.demonstration import DOCS_CSP
policy = HeaderPolicy.objects.create(name="one")
csp = {"policy": policy, "name": "Content-Security-Policy", "mode": "force"}
ResponseHeader.objects.create(**csp, value="default-src 'none'; frame-ancestors 'none'")
ResponseHeader.objects.create(
    **csp,
    value=DOCS_CSP.replace("form-action 'none'", "form-action 'self'"),
    content_types=["text/html"],
)
Route.objects.update(header_policy=policy)
Route.objects.create(
    name="desk", path_prefix="/admin/", access="application", header_policy=policy
)
"""


def violations(browser):
    console = [entry["message"] for entry in browser.get_log("browser")]
    return [message for message in console if "Content Security Policy" in message]


def paths_on(browser, base_url):
    browser.get(f"{base_url}/api/docs/")
    paths = WebDriverWait(browser, 60).until(
        lambda page: page.find_elements(By.CSS_SELECTOR, ".opblock-summary-path")
    )
    return {path.text.replace("\u200b", "") for path in paths}


def test_the_page_lists_the_operations_and_violates_nothing(browser, demo_site_in_memory):
    with gunicorn(demo_site_in_memory.env, workers=1, threads=4) as server:
        listed = paths_on(browser, server.base_url)
        violated = violations(browser)
    assert "/api/users/me" in listed
    assert violated == []


def test_with_rows_by_type_one_policy_serves_json_the_docs_and_the_desk(
    browser, demo_site_in_memory
):
    site = demo_site_in_memory
    assert manage("shell", "-c", ONE_POLICY, env=site.env).returncode == 0
    with gunicorn(site.env, workers=1, threads=4) as server:
        listed = paths_on(browser, server.base_url)
        browser.get(f"{server.base_url}/admin/")
        browser.find_element(By.NAME, "username").send_keys(site.username)
        browser.find_element(By.NAME, "password").send_keys(site.password)
        browser.find_element(By.CSS_SELECTOR, "[type=submit]").click()
        heading = WebDriverWait(browser, 60).until(
            lambda page: page.find_elements(By.CSS_SELECTOR, "#user-tools")
        )
        shown = [element.text for element in heading]
        styled = browser.find_element(By.ID, "header").value_of_css_property("background-color")
        violated = violations(browser)
    assert "/api/users/me" in listed
    assert shown
    assert styled != "rgba(0, 0, 0, 0)"
    assert violated == []
