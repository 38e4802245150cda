"""A request explained in a real browser under a strict policy, with scripts and without."""

from __future__ import annotations

import pytest

from apiguard.models import ApiKey, Client, Limit, Route, Tier

from .test_browser import desk, patient, refusals

__all__ = ["desk", "patient"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_request_is_explained_and_its_credential_is_gone(desk, patient, scripts, width):
    tier = Tier.objects.create(slug="free", name="Free")
    Limit.objects.create(tier=tier, name="per-minute", amount=60, period=60)
    acme = Client.objects.create(slug="acme", name="Acme", tier=tier)
    _, text = ApiKey.objects.issue(acme, "laptop", ("orders:read",))
    orders = Route.objects.create(
        name="orders",
        path_prefix="/orders/",
        access="credentials",
        mode="enforce",
        required_scopes=["orders:write"],
    )
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    patient.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    off = {"value": not scripts}
    patient.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", off)
    try:
        patient.get(f"{desk}/admin/apiguard/overview/")
        patient.get_log("browser")
        patient.find_element("css selector", "a[href$='/apiguard/explain/']").click()
        patient.find_element("name", "path").send_keys("/orders/7")
        patient.find_element("name", "credential").send_keys(text)
        patient.find_element("css selector", "#content-main .submit-row [type=submit]").click()
        answer = patient.find_element("css selector", "#content-main section").text
        assert "The guard answers 403. Why: needs orders:write; the key has orders:read." in answer
        assert "Decided by route orders." in answer
        assert patient.find_element("name", "path").get_attribute("value") == "/orders/7"
        assert patient.find_element("name", "credential").get_attribute("value") == ""
        assert text not in patient.page_source
        # No table has to be scrolled sideways to be read.
        for table in patient.find_elements("css selector", ".apiguard-scroll"):
            assert int(table.get_property("scrollWidth")) <= int(table.get_property("clientWidth"))
        metrics = patient.execute_cdp_cmd("Page.getLayoutMetrics", {})
        assert metrics["cssContentSize"]["width"] <= width
        patient.find_element("link text", "orders").click()
        assert f"/route/{orders.pk}/change/" in patient.current_url
        assert refusals(patient) == []
    finally:
        patient.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
