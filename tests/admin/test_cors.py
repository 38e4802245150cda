"""Origins are edited in their policy while there are few, and by themselves always."""

from __future__ import annotations

import pytest

from apiguard.admin.cors import MOST_INLINE
from apiguard.models import AllowedOrigin, CorsPolicy

from .pages import fields_of, fill_in, url


def test_few_origins_are_edited_inside_their_policy(admin_client, cors):
    response = fill_in(
        admin_client,
        url("corspolicy_change", cors.pk),
        **{
            "origins-TOTAL_FORMS": "2",
            "origins-1-policy": cors.pk,
            "origins-1-pattern": "https://b.example.com",
            "origins-1-enabled": "on",
        },
    )
    assert response.status_code == 302
    assert cors.origins.count() == 2


@pytest.mark.parametrize(("more", "inline"), [(MOST_INLINE - 1, True), (MOST_INLINE, False)])
def test_many_origins_have_only_their_own_list(admin_client, cors, more, inline):
    AllowedOrigin.objects.bulk_create(
        AllowedOrigin(policy=cors, pattern=f"https://o{number}.example.com")
        for number in range(more)
    )
    page = admin_client.get(url("corspolicy_change", cors.pk)).content.decode()
    assert ("origins-TOTAL_FORMS" in page) is inline
    assert f"{url('allowedorigin_changelist')}?policy__id__exact={cors.pk}" in page
    assert fill_in(admin_client, url("corspolicy_change", cors.pk), max_age="5").status_code == 302
    assert cors.origins.count() == more + 1


def test_an_origin_typed_while_others_added_many_is_not_lost(admin_client, cors):
    page = admin_client.get(url("corspolicy_change", cors.pk)).content.decode()
    AllowedOrigin.objects.bulk_create(
        AllowedOrigin(policy=cors, pattern=f"https://o{number}.example.com")
        for number in range(MOST_INLINE)
    )
    data = {**fields_of(page), "origins-0-note": "typed"}
    assert admin_client.post(url("corspolicy_change", cors.pk), data).status_code == 302
    assert cors.origins.get(pattern="https://app.example.com").note == "typed"


def test_the_link_leads_to_the_origins_of_that_policy(admin_client, cors):
    other = CorsPolicy.objects.create(name="other")
    AllowedOrigin.objects.create(policy=other, pattern="https://b.example.com")
    page = admin_client.get(url("allowedorigin_changelist"), {"policy__id__exact": cors.pk})
    assert [row.policy_id for row in page.context["cl"].result_list] == [cors.pk]


def test_an_origin_is_found_by_pattern_and_note(admin_client, cors):
    AllowedOrigin.objects.create(policy=cors, pattern="https://b.example.com", note="partner")
    for query in ("b.example", "partner"):
        page = admin_client.get(url("allowedorigin_changelist"), {"q": query})
        assert [row.note for row in page.context["cl"].result_list] == ["partner"]
