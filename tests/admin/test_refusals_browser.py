"""The call at three in the morning: from a customer's words to the row that decided."""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from apiguard.models import ApiKey, Client, HourlyCount, Limit, Route, Tier
from apiguard.telemetry.buffer import buffer

from .test_browser import desk, patient, refusals

__all__ = ["desk", "patient"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# Where pictures of the pages go, for people who look at them.
PICTURES = os.environ.get("PICTURES", "")


@pytest.fixture
def orders():
    tier = Tier.objects.create(slug="standard", name="Standard")
    Limit.objects.create(tier=tier, name="per-minute", amount=1000, period=60)
    client = Client.objects.create(slug="acme", name="Acme", tier=tier)
    _, text = ApiKey.objects.issue(client, "shop", ("orders:read",))
    route = Route.objects.create(
        name="orders",
        path_prefix="/api/",
        access="credentials",
        mode="enforce",
        required_scopes=["orders:write"],
    )
    return route, text


def call(address: str, **headers: str) -> dict[str, str]:
    """Send a request that is refused; return its problem."""
    try:
        urllib.request.urlopen(urllib.request.Request(address, headers=headers))
    except urllib.error.HTTPError as answer:
        with answer:
            problem: dict[str, str] = json.loads(answer.read())
            return problem
    raise AssertionError("The request was let through.")


def picture(browser, name: str) -> None:
    if PICTURES:
        browser.save_screenshot(str(Path(PICTURES) / f"{name}.png"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_customers_words_lead_to_the_deciding_row_in_two_screens(
    desk, patient, orders, width, scheme
):
    route, text = orders
    buffer._reset()
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 500}
    patient.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    patient.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    # Without scripts: nothing of the way needs them.
    patient.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": width == 390})
    try:
        for _ in range(3):
            call(f"{desk}/api/orders")
        problem = call(f"{desk}/api/orders/7?token=QU3RY", **{"X-API-Key": text})
        mail = f"Our shop gets {problem['message']!r} since tonight, request {problem['requestId']}"
        buffer.flush()
        HourlyCount.objects.update(unkept=4980)
        quoted = re.search(r"[0-9a-f]{32}", mail)[0]

        patient.get(f"{desk}/admin/apiguard/")
        patient.get_log("browser")
        picture(patient, f"index-{width}-{scheme}")
        patient.find_element("name", "id").send_keys(quoted)
        patient.find_element("css selector", ".apiguard-find [type=submit]").click()

        said = patient.find_element("css selector", "#content-main section").text
        assert "Answered 403 at" in said
        assert "Why: needs orders:write; the key has orders:read." in said
        assert "Decided by route orders." in said
        assert "QU3RY" not in patient.page_source
        assert text not in patient.page_source
        metrics = patient.execute_cdp_cmd("Page.getLayoutMetrics", {})
        assert metrics["cssContentSize"]["width"] <= width
        picture(patient, f"detail-{width}-{scheme}")
        page = patient.current_url
        patient.find_element("css selector", ".apiguard-note a").click()
        assert f"/route/{route.pk}/change/" in patient.current_url

        patient.get(page)
        patient.find_element("partial link text", "Explain this again now".upper()).click()
        assert patient.find_element("name", "path").get_attribute("value") == "/api/orders/7"
        assert patient.find_element("name", "client").get_attribute("value") == "acme"
        for name, address in {
            "list": "refusal/?minutes=60",
            "grouped": "refusal/grouped/?minutes=60",
            "not-found": "find/?id=nobody-knows",
        }.items():
            patient.get(f"{desk}/admin/apiguard/{address}")
            picture(patient, f"{name}-{width}-{scheme}")
            metrics = patient.execute_cdp_cmd("Page.getLayoutMetrics", {})
            assert metrics["cssContentSize"]["width"] <= width, name
        assert refusals(patient) == []
    finally:
        patient.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        patient.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
