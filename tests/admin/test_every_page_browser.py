"""Every page of apiguard in a real browser: accessible, narrow enough, and within a strict CSP."""

from __future__ import annotations

from importlib.resources import files

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser

from tests.examples import FACTOR

from . import every_page
from .test_browser import desk, patient, refusals

__all__ = ["desk", "patient"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# A colour that is on its way to another one would be judged.
AT_ONCE = """
const sheet = new CSSStyleSheet();
sheet.replaceSync("* { transition: none !important }");
document.adoptedStyleSheets = [sheet];
"""
AXE = """
const done = arguments[0];
// What a closed <details> hides is judged as if it were shown without colours.
const context = {exclude: [["details:not([open]) > table"]]};
axe.run(context, {resultTypes: ["violations"]}).then(
    (found) => done(found.violations.filter(
        (one) => ["serious", "critical"].includes(one.impact)
    ).flatMap((one) => one.nodes.map((node) => [one.id, node.html.slice(0, 200)]))),
    (error) => done([["failed", String(error)]]));
"""
OVERFLOW = """
const page = document.documentElement;
const wide = page.scrollWidth > page.clientWidth ? ["the page"] : [];
for (const each of document.querySelectorAll("#content *")) {
    const style = getComputedStyle(each).overflowX;
    if ((style === "auto" || style === "scroll") && each.clientWidth > 1
        && each.tagName !== "SELECT" && each.tagName !== "TEXTAREA"
        && each.scrollWidth > each.clientWidth + 1) {
        wide.push(`${each.tagName} ${each.id} ${each.className}`);
    }
}
return wide;
"""
# Django's own, in the stock admin as well: the two halves of a date, and the box of an
# autocomplete field, have no label.
OF_DJANGO = ("vDateField", "vTimeField", "vForeignKeyRawIdAdminField", "select2")
# Pages that are Django's, with rows of ours in them.
STOCK = (" history", " delete")


def show(browser, width, theme):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": feature})


def test_every_page_is_accessible_and_fits_at_1280_and_390_pixels(desk, patient):
    user = User.objects.get()
    every_page.make_rows(user)
    client = Browser()
    client.force_login(user)
    axe = (files("axe_core_python") / "axe.min.js").read_text()
    found = []
    patient.implicitly_wait(0)
    pages = {
        name: path for name, path in every_page.pages(client).items() if not name.endswith(STOCK)
    }
    assert len(pages) > 30
    try:
        for number, (name, path) in enumerate(pages.items()):
            show(patient, 1280, "light")
            patient.get(f"{desk}{path}")
            found += [(name, message) for message in refusals(patient)]
            patient.execute_script(AT_ONCE)
            patient.execute_script(axe)
            # All pages share their colours: each is judged in one mode, in a long run in both.
            for theme in ("light", "dark") if FACTOR > 1 else (("light", "dark")[number % 2],):
                show(patient, 1280, theme)
                wrong = patient.execute_async_script(AXE)
                ours = [one for one in wrong if not any(word in one[1] for word in OF_DJANGO)]
                found += [(name, theme, *one) for one in ours]
            for width in (1280, 390):
                show(patient, width, "light")
                found += [(name, width, wide) for wide in patient.execute_script(OVERFLOW)]
    finally:
        patient.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        patient.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert found == [], "\n".join(map(str, found))
