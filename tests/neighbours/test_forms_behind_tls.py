"""Signing in to the admin behind a proxy that ends TLS, and Django's CSRF check."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth import get_user_model
from django.test import Client, override_settings

from tests.request.site import settings_of

BEHIND_TLS = {
    "Host": "shop.example.com",
    "Origin": "https://shop.example.com",
    "X-Forwarded-Proto": "https",
}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("settings", "status"),
    [
        pytest.param({}, 403, id="neither"),
        pytest.param(
            {"SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https")},
            302,
            id="SECURE_PROXY_SSL_HEADER",
        ),
        pytest.param(
            {"CSRF_TRUSTED_ORIGINS": ["https://shop.example.com"]}, 302, id="CSRF_TRUSTED_ORIGINS"
        ),
    ],
)
def test_signing_in_behind_tls_needs_one_of_two_settings_of_django(settings, status):
    get_user_model().objects.create_superuser("admin", password="a pass phrase")
    browser = Client(enforce_csrf_checks=True, headers=BEHIND_TLS)
    trusted = settings_of(TRUSTED_PROXIES=["127.0.0.1"])
    with override_settings(APIGUARD=trusted, ALLOWED_HOSTS=["shop.example.com"], **settings):
        page = browser.get("/admin/login/").content.decode()
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        form = {"username": "admin", "password": "a pass phrase", "csrfmiddlewaretoken": token[1]}
        assert browser.post("/admin/login/", form).status_code == status
