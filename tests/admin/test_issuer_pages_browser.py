"""An issuer from its provider and a tried token, in a real browser under a strict policy."""

from __future__ import annotations

import pytest

from apiguard.models import JwtIssuer

from .pages import url
from .test_browser import desk, patient, refusals
from .test_issuer_pages import example, provider

__all__ = ["desk", "patient", "provider"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_an_issuer_is_read_from_its_provider_saved_and_tried(desk, patient, provider, scripts):
    off = {"value": not scripts}
    patient.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", off)
    patient.get(f"{desk}{url('jwtissuer_add')}")
    patient.get_log("browser")
    text = example(provider.issuer, typ="Bearer", realm_access={"roles": ["read"]})
    patient.find_element("name", "provider_url").send_keys(provider.issuer)
    patient.find_element("name", "example_token").send_keys(text)
    patient.find_element("css selector", ".apiguard-provider [type=submit]").click()

    assert patient.find_element("name", "issuer").get_attribute("value") == provider.issuer
    patient.find_element("name", "name").send_keys("acme")
    patient.find_element("name", "_continue").click()
    facts = patient.find_element("class name", "apiguard-confirm")
    assert f"Tokens of “acme” ({provider.issuer}) are accepted, without any limit." in facts.text
    facts.find_element("name", "_confirm_effects").click()
    facts.find_element("name", "_continue").click()
    assert "k1: RSA, 2048 bits" in patient.find_element("class name", "messagelist").text
    row = JwtIssuer.objects.get()
    assert (row.audiences, row.required_claims) == (["orders"], {"typ": "Bearer"})

    patient.find_element("link text", "TRY A TOKEN").click()
    patient.find_element("name", "token").send_keys(text)
    patient.find_element("css selector", "#content-main .submit-row [type=submit]").click()
    answer = patient.find_element("css selector", "#content-main section").text
    assert "This token is accepted" in answer
    assert patient.find_element("name", "token").get_attribute("value") == ""
    assert text not in patient.page_source
    assert refusals(patient) == []
