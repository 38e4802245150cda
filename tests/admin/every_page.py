"""Every page of apiguard in the admin, and rows with which each has something to show."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.test import Client as Browser
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from apiguard.models import (
    AllowedOrigin,
    ApiKey,
    Client,
    CorsPolicy,
    CounterOutage,
    HourlyCount,
    JwtIssuer,
    Limit,
    LimitOverride,
    Route,
    ShadowCount,
    Tier,
    UntrustedProxy,
    acting,
)
from apiguard.models.hourly_counts import hour_of
from apiguard.models.usage import UsageKey, usage_rows
from apiguard.transfer.baseline import write_baseline
from tests.refused import refuse


def make_rows(user: Any) -> None:
    """Write policy, keys, numbers, and a few mistakes, on behalf of ``user``."""
    with acting(user, reason="Set up for the partners' launch"):
        write_baseline(prefix="/api/", enforce=False)
        _make_policy()
        acme = _make_clients()
    _make_numbers(acme)
    _make_refusals(acme)
    _make_usage(acme)
    _make_mistakes()


def _make_policy() -> None:
    standard = Tier.objects.get(slug="standard")
    baseline = Route.objects.get(path_prefix="/api/")
    browser = {"cors_policy": baseline.cors_policy, "header_policy": baseline.header_policy}
    export = Route.objects.create(
        name="export",
        path_prefix="/api/export/",
        access="credentials",
        required_scopes=["orders:read", "exports:create"],
        methods=["GET"],
        cost=10,
        anonymous_tier=Tier.objects.get(slug="anonymous"),
        **browser,
    )
    Route.objects.create(name="health", path_prefix="/health/", access="public", **browser)
    Route.objects.create(name="docs", path_prefix="/api/docs/", access="public", mode="off")
    tokens = {"amount": 10_000, "period": 60, "unit": "tokens", "per": "caller-route"}
    Limit.objects.create(tier=standard, name="tokens-per-minute", **tokens)
    at_once = {"kind": "concurrent", "amount": 2, "period": 600}
    Limit.objects.create(tier=standard, name="at-once", **at_once)
    Limit.objects.create(
        tier=standard, name="exports", amount=20, period=3600, route=export, mode="shadow"
    )
    for pattern in ("https://app.example.com", "https://*.preview.example.com"):
        AllowedOrigin.objects.create(policy=baseline.cors_policy, pattern=pattern, note="web team")
    JwtIssuer.objects.create(
        name="accounts",
        issuer="https://accounts.example.com/realms/shop",
        audiences=["orders-api"],
        algorithms=["HS256"],
        secret_name="demo",
        tier=standard,
    )


def _make_clients() -> Client:
    now = timezone.now()
    acme = Client.objects.create(
        slug="acme", name="Acme Logistics", tier=Tier.objects.get(slug="standard")
    )
    hobby = Client.objects.create(slug="hobby", name="Hobby", tier=Tier.objects.get(slug="free"))
    scopes = ["orders:read", "orders:write"]
    key, _text = ApiKey.objects.issue(acme, "production", scopes)
    key.rotate(grace=timedelta(days=7), reason="yearly rotation")
    ApiKey.objects.issue(acme, "nightly export", scopes, expires_at=now + timedelta(days=5))
    ApiKey.objects.issue(hobby, "laptop", ["orders:read"])[0].revoke("found in a repository")
    LimitOverride.objects.create(
        client=acme,
        limit=acme.tier.limits.filter(mode="enforce")[0],
        amount=5000,
        until=now + timedelta(days=1),
        reason="campaign, agreed with the operations team",
    )
    return acme


def _make_numbers(acme: Client) -> None:
    now = timezone.now()
    api, export = Route.objects.get(name="api"), Route.objects.get(name="export")
    shadow = Limit.objects.get(mode="shadow")
    for hours, factor in ((0, 3), (1, 5), (5, 2), (30, 4)):
        at = now - timedelta(hours=hours)
        HourlyCount.objects.add(at, api.pk, "no_credential", False, 411 * factor)
        HourlyCount.objects.add(at, api.pk, "foreign_origin", False, 12 * factor)
        HourlyCount.objects.add(at, export.pk, "scope_missing", True, 7 * factor)
        ShadowCount.objects.add(at, shadow.pk, f"client:{acme.pk}", 120 * factor)
        ShadowCount.objects.add(at, shadow.pk, "ip:203.0.113.7", 4 * factor)
    CounterOutage.objects.note("web-2:43", True, now - timedelta(minutes=30))
    CounterOutage.objects.note("web-2:43", False, now - timedelta(minutes=20))
    UntrustedProxy.objects.seen("10.0.0.7", now)


def _make_refusals(acme: Client) -> None:
    api, export = Route.objects.get(name="api"), Route.objects.get(name="export")
    key = acme.keys.get(name="nightly export")
    at_route = {"row_model": "route", "row_pk": str(export.pk), "row_name": export.name}
    limits = [{"name": "per-minute", "rate": "1,000 per minute", "used": 12, "remaining": 988}]
    refuse(
        request_id="6f1c2a9d4e8b4c0f",
        path="/api/export/2026-11",
        reason="needs exports:create orders:read; the key has orders:read orders:write",
        route_pk=export.pk,
        route_name=export.name,
        client_pk=acme.pk,
        client_slug=acme.slug,
        key_id=key.key_id,
        principal=f"client:{acme.pk}",
        is_identified=True,
        limits=[{**limit, "exceeded": False, "shadow": False} for limit in limits],
        **at_route,
    )
    for number in range(4):
        refuse(
            request_id=f"0b7e51{number}f",
            path="/api/orders/",
            status=401,
            enforced=False,
            outcome="no_credential",
            reason="the route wants a credential; none of apiguard's was sent",
            route_pk=api.pk,
            route_name=api.name,
            principal="ip:203.0.113.7",
            address="203.0.113.7",
        )


def _make_usage(acme: Client) -> None:
    api, key = Route.objects.get(name="api"), acme.keys.get(name="nightly export")
    for hours in range(24):
        counts = {
            UsageKey(api.pk, acme.pk, key.pk, "admitted", True): 900 + 40 * (hours % 7),
            UsageKey(api.pk, 0, 0, "no_credential", False): 30 + hours,
            UsageKey(api.pk, acme.pk, key.pk, "settled:tokens", True): 8_120 + 5 * hours,
        }
        at = hour_of(timezone.now() - timedelta(hours=hours))
        list(usage_rows().add(at, False, counts))


def _make_mistakes() -> None:
    """Write rows that no form would save."""
    policy = CorsPolicy.objects.get()
    AllowedOrigin.objects.bulk_create([AllowedOrigin(policy=policy, pattern="https://*.github.io")])
    Route.objects.create(name="lost", path_prefix="/shop/api/", access="public")


def pages(browser: Browser) -> dict[str, str]:
    """Return name -> path of each page that ``browser`` may open."""
    found: dict[str, str] = {"index": reverse("admin:index")}
    found["app index"] = reverse("admin:app_list", args=["apiguard"])
    names = [pattern.name for pattern in admin.site.get_urls() if hasattr(pattern, "name")]
    for name in names:
        if str(name).startswith("apiguard_"):
            found[str(name).removeprefix("apiguard_")] = reverse(f"admin:{name}")
    found |= dict(_pages_of_models())
    answers = {name: browser.get(path) for name, path in found.items()}
    return {
        name: found[name]
        for name, answer in answers.items()
        if answer.status_code == 200 and answer["Content-Type"].startswith("text/html")
    }


def _pages_of_models() -> Iterator[tuple[str, str]]:
    for model in apps.get_app_config("apiguard").get_models():
        if not admin.site.is_registered(model):
            continue
        row = model._default_manager.order_by("pk").first()
        for pattern in admin.site.get_model_admin(model).get_urls():
            name = getattr(pattern, "name", None)
            for args in ((), (row.pk,)) if name and row is not None else ():
                try:
                    path = reverse(f"admin:{name}", args=args)
                except NoReverseMatch:
                    continue
                yield str(name).removeprefix("apiguard_").replace("_", " "), path
