"""Permissions: those that exist do something, and who may only view is offered nothing else."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import Permission

from .pages import url

UNUSED = {
    *("delete_apikey", "add_policychange", "change_policychange", "delete_policychange"),
    *("view_policystate", "change_hourlycount", "view_shadowcount", "delete_counteroutage"),
    *("add_counterfault", "view_untrustedproxy", "view_observedheader"),
}


def codenames():
    found = Permission.objects.filter(content_type__app_label="apiguard")
    return set(found.values_list("codename", flat=True))


@pytest.mark.django_db
def test_the_picker_of_a_group_lists_no_permission_without_a_meaning():
    assert not codenames() & UNUSED
    assert {"view_route", "change_apikey", "view_policychange", "undo_change"} <= codenames()


@pytest.mark.parametrize("name", ["route", "corspolicy", "tier", "client", "jwtissuer"])
def test_a_viewer_is_offered_nothing_that_changes_a_row(viewer, policy, name):
    page = viewer.get(url(f"{name}_change", policy[name].pk)).content.decode()
    content = page[page.index('id="content"') :]
    assert not re.findall(r'<input[^>]*type="(?:checkbox|text)"', content)
    assert not re.findall(r'name="(?:_save|_continue|_addanother|_make_key)"', content)
    assert "?copy=" not in content
    assert viewer.get(url(f"{name}_add")).status_code == 403
    assert viewer.get(url(f"{name}_delete", policy[name].pk)).status_code == 403
