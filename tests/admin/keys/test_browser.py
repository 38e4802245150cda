"""Rotating and asking whose a key is, in a real browser, by keyboard, under a strict policy."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.expected_conditions import title_contains
from selenium.webdriver.support.ui import WebDriverWait

from apiguard.models import ApiKey, Client
from apiguard.rules.keys import parse

from ..pages import everything_stored, url
from ..test_browser import desk, patient, refusals

__all__ = ["desk", "patient"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def key():
    return ApiKey.objects.issue(Client.objects.create(slug="acme", name="Acme"), "laptop")


@pytest.fixture(params=[False, True], ids=["with scripts", "without scripts"])
def browser_at(request, desk, patient):
    """``browser_at(address)``: the page of the desk, with scripts or without."""

    def go(address):
        off = {"value": request.param}
        patient.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", off)
        patient.get(f"{desk}{address}")
        patient.get_log("browser")
        return patient

    return go


def press(browser, *keys):
    browser.switch_to.active_element.send_keys(*keys)


def test_a_key_is_rotated_by_keyboard_and_shown_once(browser_at, key):
    page = browser_at(url("apikey_rotate", key[0].pk))
    page.find_element("css selector", "input[value=leaked]").send_keys(Keys.SPACE)
    press(page, Keys.TAB, Keys.TAB)
    page.find_element("name", "reason").send_keys("found in a log", Keys.ENTER)
    shown = page.find_element("id", "apiguard-key").get_attribute("value")
    new = ApiKey.objects.exclude(pk=key[0].pk).get()
    assert parse(shown, "ag").key_id == new.key_id
    secret = parse(shown, "ag").secret
    assert "is revoked" in page.find_element("id", "content-main").text
    assert refusals(page) == []
    assert secret not in everything_stored() + str(page.get_cookies()) + page.current_url
    page.refresh()
    assert "cannot be shown again" in page.find_element("id", "content-main").text
    assert secret not in page.page_source
    assert ApiKey.objects.count() == 2


def test_whose_key_it_is_is_answered_and_the_box_is_empty_again(browser_at, key):
    page = browser_at(url("apikey_identify"))
    page.find_element("name", "text").send_keys(key[1])
    page.find_element("css selector", ".submit-row input[type=submit]").send_keys(Keys.ENTER)
    answer = page.find_element("class name", "apiguard-answers").text
    assert "laptop of Acme" in answer
    assert page.find_element("name", "text").get_attribute("value") == ""
    secret = parse(key[1], "ag").secret
    assert secret not in page.page_source + page.current_url + str(page.get_cookies())
    assert refusals(page) == []
    page.back()
    page.forward()
    assert secret not in page.page_source


def test_a_person_who_has_just_made_a_key_can_sign_out(browser_at, key):
    page = browser_at(url("apikey_rotate", key[0].pk))
    page.find_element("css selector", "input[value=planned]").click()
    page.find_element("name", "reason").send_keys("yearly", Keys.ENTER)
    page.find_element("id", "apiguard-key")
    page.find_element("css selector", "#logout-form button").click()
    WebDriverWait(page, 10).until(title_contains("Logged out"))
