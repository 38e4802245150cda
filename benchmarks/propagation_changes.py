"""Every kind of change that ``benchmarks.propagation`` makes, and by what it is known.

A change is made in this process, which serves nobody, on the database of the
demonstration. It is known by the answer to a call that only policy can have
changed: a header, a limit's amount, a status. Import after ``django.setup()``.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.db import connection, transaction

from apiguard.models import (
    AllowedOrigin,
    ApiKey,
    Client,
    HeaderPolicy,
    JwtIssuer,
    Limit,
    LimitOverride,
    ResponseHeader,
    Route,
    Tier,
    everything,
)
from apiguard.models.state import publish
from tests.server.load import Answer, Call

LEFT, RIGHT, SEEN = "X-Left", "X-Right", "X-Seen"
AMOUNT = "X-RateLimit-Limit"
# Amounts that nobody reaches; what is added to them numbers the changes.
PLENTY = 1_000_000
HEALTH = Call("/health")


@dataclass(frozen=True, slots=True)
class Change:
    """One change: what is called meanwhile, what makes it, and how a new answer looks."""

    kind: str
    call: Call
    make: Callable[[], Any]
    is_new: Callable[[Answer], bool]


def is_mixed(answer: Answer) -> bool:
    """Whether an answer shows parts of two revisions: see ``_pair``, which changes all three."""
    left, right = answer.headers.get(LEFT), answer.headers.get(RIGHT)
    amount = answer.headers.get(AMOUNT)
    return left != right or amount != str(PLENTY + int(left or 0))


def _has(status: int) -> Callable[[Answer], bool]:
    return lambda answer: answer.status == status


def _says(header: str, value: object) -> Callable[[Answer], bool]:
    return lambda answer: answer.headers.get(header) == str(value)


class World:
    """The rows that are changed."""

    def __init__(self, api_key: str, token: str) -> None:
        self.plain = Call("/api/plain", {"X-API-Key": api_key})
        self.token = Call("/api/plain", {"Authorization": f"Bearer {token}"})
        self.bare = Call("/api/plain")
        self.api, self.health = (
            Route.objects.get(path_prefix="/api/"),
            Route.objects.get(name="health"),
        )
        self.acme = Client.objects.get(slug="acme")
        self.numbers = itertools.count(1)
        self._prepare()

    def _prepare(self) -> None:
        """Limits of which one is always the closest to its end, and headers to change."""
        pair = HeaderPolicy.objects.create(name="pair")
        for name in (LEFT, RIGHT):
            ResponseHeader.objects.create(policy=pair, name=name, value="0", mode="force")
        Route.objects.filter(pk=self.health.pk).update(header_policy=pair)
        ResponseHeader.objects.create(
            policy=self.api.header_policy, name=SEEN, value="0", mode="force"
        )
        Limit.objects.exclude(kind="concurrent").update(amount=PLENTY)
        Limit.objects.filter(name="per-day").update(amount=1000 * PLENTY)
        self.minute = Limit.objects.get(tier=self.acme.tier, name="per-minute")
        self.other = Tier.objects.create(slug="other", name="Other")
        Limit.objects.create(tier=self.other, name="m", amount=3 * PLENTY, period=60)

    def changes(self) -> Iterator[Change]:
        """Changes of all kinds, over and over."""
        kinds = (
            *(self._pair, self._revocation, self._amount, self._origin, self._header_by_update),
            *(self._raw_sql, self._scope, self._client, self._headers_by_bulk_update),
            *(self._header_in_bulk, self._issuer, self._override, self._fixture, self._route),
            *(self._tier, self._mode),
        )
        while True:
            for kind in kinds:
                yield from kind(next(self.numbers))

    # -- kinds ------------------------------------------------------------------

    def _seen(self) -> Any:
        return ResponseHeader.objects.filter(policy=self.api.header_policy, name=SEEN)

    def _pair(self, n: int) -> Iterator[Change]:
        def make() -> None:
            with transaction.atomic():
                for header in ResponseHeader.objects.filter(policy__name="pair"):
                    header.value = str(n)
                    header.save()
                limit = Limit.objects.get(tier__slug="anonymous")
                limit.amount = PLENTY + n
                limit.save()

        yield Change("two headers and a limit at once", HEALTH, make, _says(LEFT, n))

    def _amount(self, n: int) -> Iterator[Change]:
        def make() -> None:
            self.minute.amount = PLENTY + n
            self.minute.save()

        yield Change("a tier's amount", self.plain, make, _says(AMOUNT, PLENTY + n))

    def _override(self, n: int) -> Iterator[Change]:
        given = LimitOverride(client=self.acme, limit=self.minute, amount=2 * PLENTY + n)
        shown, was = _says(AMOUNT, given.amount), _says(AMOUNT, self.minute.amount)
        yield Change("an override given", self.plain, given.save, shown)
        yield Change("an override taken", self.plain, given.delete, was)

    def _origin(self, n: int) -> Iterator[Change]:
        row = AllowedOrigin(policy=self.api.cors_policy, pattern=f"https://new-{n}.example.com")
        asked = {"Origin": row.pattern, "Access-Control-Request-Method": "GET"}
        preflight = Call("/api/plain", asked, "OPTIONS")
        yield Change("an origin added", preflight, row.save, _has(204))
        yield Change("an origin deleted", preflight, row.delete, _has(403))

    def _header_by_update(self, n: int) -> Iterator[Change]:
        yield Change(
            *("a header by update()", self.plain, lambda: self._seen().update(value=str(n))),
            _says(SEEN, n),
        )

    def _headers_by_bulk_update(self, n: int) -> Iterator[Change]:
        def make() -> None:
            rows = list(self._seen())
            for row in rows:
                row.value = f"bulk-{n}"
            ResponseHeader.objects.bulk_update(rows, ["value"])

        yield Change("headers by bulk_update()", self.plain, make, _says(SEEN, f"bulk-{n}"))

    def _header_in_bulk(self, n: int) -> Iterator[Change]:
        name, policy = f"X-New-{n}", self.api.header_policy
        row = ResponseHeader(policy=policy, name=name, value="1", mode="force")
        made = ResponseHeader.objects.filter(name=name)

        yield Change(
            *("a header by bulk_create()", self.plain),
            *(lambda: ResponseHeader.objects.bulk_create([row]), _says(name, 1)),
        )
        yield Change(
            "a header by queryset.delete()",
            self.plain,
            made.delete,
            lambda a: name not in a.headers,
        )

    def _scope(self, n: int) -> Iterator[Change]:
        def require(*scopes: str) -> None:
            self.api.required_scopes = list(scopes)
            self.api.save()

        yield Change("a route's scope", self.plain, lambda: require("orders:admin"), _has(403))
        yield Change("a route's scope taken back", self.plain, require, _has(200))

    def _raw_sql(self, n: int) -> Iterator[Change]:
        def make() -> None:
            with transaction.atomic(), connection.cursor() as cursor:
                publish(everything)
                cursor.execute(
                    "UPDATE apiguard_responseheader SET value = %s WHERE name = %s",
                    [f"raw-{n}", SEEN],
                )

        yield Change("raw SQL and publish", self.plain, make, _says(SEEN, f"raw-{n}"))

    def _revocation(self, n: int) -> Iterator[Change]:
        key, secret = ApiKey.objects.issue(self.acme, f"short-lived {n}")
        call = Call("/api/plain", {"X-API-Key": str(secret)})
        yield Change("a key revoked", call, lambda: key.revoke("measured"), _has(401))

    def _client(self, n: int) -> Iterator[Change]:
        def enable(enabled: bool) -> None:
            self.acme.enabled = enabled
            self.acme.save()

        yield Change("a client disabled", self.plain, lambda: enable(False), _has(401))
        yield Change("a client enabled", self.plain, lambda: enable(True), _has(200))

    def _issuer(self, n: int) -> Iterator[Change]:
        issuer = JwtIssuer.objects.get(name="demo")

        def enable(enabled: bool) -> None:
            issuer.enabled = enabled
            issuer.save()

        yield Change("an issuer disabled", self.token, lambda: enable(False), _has(401))
        yield Change("an issuer enabled", self.token, lambda: enable(True), _has(200))

    def _fixture(self, n: int) -> Iterator[Change]:
        def make() -> None:
            row = self._seen().get()
            fields = {"policy": row.policy_id, "name": SEEN, "value": f"fixture-{n}"}
            entry = {"model": "apiguard.responseheader", "pk": row.pk}
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "rows.json"
                path.write_text(json.dumps([{**entry, "fields": {**fields, "mode": "force"}}]))
                call_command("loaddata", str(path), verbosity=0)

        yield Change("a fixture", self.plain, make, _says(SEEN, f"fixture-{n}"))

    def _route(self, n: int) -> Iterator[Change]:
        row = Route(name=f"plain {n}", path_prefix="/api/plain/", access="public")
        yield Change("a route added", self.bare, row.save, _has(200))
        yield Change("a route deleted", self.bare, row.delete, _has(401))

    def _tier(self, n: int) -> Iterator[Change]:
        standard = self.acme.tier

        def move(tier: Tier) -> None:
            Client.objects.filter(pk=self.acme.pk).update(tier=tier)

        other, back = _says(AMOUNT, 3 * PLENTY), _says(AMOUNT, self.minute.amount)
        yield Change("a client's tier", self.plain, lambda: move(self.other), other)
        yield Change("a client's tier back", self.plain, lambda: move(standard), back)

    def _mode(self, n: int) -> Iterator[Change]:
        def judge(mode: str) -> None:
            Route.objects.filter(pk=self.api.pk).update(mode=mode)

        yield Change("a route that observes", self.bare, lambda: judge("observe"), _has(200))
        yield Change("a route that enforces", self.bare, lambda: judge("enforce"), _has(401))
