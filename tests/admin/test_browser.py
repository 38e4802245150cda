"""Making a key in a real browser, under a content security policy that allows no inline code."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from apiguard.models import ApiKey, Client, HeaderPolicy, ResponseHeader, Route
from apiguard.rules.keys import parse

from .pages import url

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

CSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'"


@pytest.fixture
def patient(browser):
    """The browser, waiting for what a page has not drawn yet, with its scripts on."""
    browser.implicitly_wait(10)
    yield browser
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    browser.implicitly_wait(0)


@pytest.fixture
def desk(live_server, patient):
    """Somebody signed in to an admin whose pages carry a strict policy of ours."""
    headers = HeaderPolicy.objects.create(name="strict")
    ResponseHeader.objects.create(
        policy=headers, name="Content-Security-Policy", value=CSP, mode="force"
    )
    Route.objects.create(
        name="desk", path_prefix="/admin/", access="application", header_policy=headers
    )
    User.objects.create_superuser("root", password="root")
    patient.get(f"{live_server.url}/admin/login/")
    patient.find_element("name", "username").send_keys("root")
    patient.find_element("name", "password").send_keys("root")
    patient.find_element("css selector", "input[type=submit]").click()
    patient.find_element("id", "user-tools")
    return live_server.url


def refusals(browser) -> list[str]:
    log = browser.get_log("browser")
    return [entry["message"] for entry in log if "Content Security Policy" in entry["message"]]


def test_a_key_is_made_copied_and_not_made_again_by_a_reload(desk, patient):
    acme = Client.objects.create(slug="acme", name="Acme")
    patient.get(f"{desk}{url('apikey_add')}?client={acme.pk}")
    patient.find_element("name", "name").send_keys("laptop")
    patient.find_element("name", "change_reason").send_keys("a new laptop")
    patient.get_log("browser")  # What Django's own widgets had to say is not ours.
    patient.find_element("name", "_save").click()

    shown = patient.find_element("id", "apiguard-key").get_attribute("value")
    assert parse(shown, "ag").key_id == ApiKey.objects.get().key_id
    assert patient.execute_script("return document.activeElement.id") == "apiguard-copy"
    command = patient.find_element("id", "apiguard-curl").get_attribute("value")
    assert command == f"curl -i -H 'X-API-Key: {shown}' {desk}/"

    granted = {"origin": desk, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    patient.execute_cdp_cmd("Browser.grantPermissions", granted)
    patient.find_element("id", "apiguard-copy").click()
    said = patient.find_element("xpath", "//*[@id='apiguard-copied'][normalize-space()]")
    assert said.text == "Copied."
    read = (
        "const done = arguments[0]; navigator.clipboard.readText().then(done, e => done(`${e}`));"
    )
    assert patient.execute_async_script(read) == shown
    assert refusals(patient) == []

    patient.refresh()
    assert "cannot be shown again" in patient.find_element("id", "content-main").text
    assert shown not in patient.page_source
    assert ApiKey.objects.count() == 1


def test_without_scripts_the_key_can_still_be_selected_and_no_dead_button_shows(desk, patient):
    acme = Client.objects.create(slug="acme", name="Acme")
    patient.get(f"{desk}{url('apikey_add')}?client={acme.pk}")
    patient.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    patient.refresh()
    patient.find_element("name", "name").send_keys("laptop")
    patient.find_element("name", "change_reason").send_keys("a new laptop")
    patient.find_element("name", "_save").click()
    field = patient.find_element("id", "apiguard-key")
    assert field.is_displayed()
    assert field.get_attribute("readonly")
    assert not patient.find_element("id", "apiguard-copy").is_displayed()
