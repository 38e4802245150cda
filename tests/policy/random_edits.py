"""Random edits of policy rows, by every way that Django has to write a row."""

from __future__ import annotations

from django.core import serializers
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.db.models.deletion import Collector, ProtectedError
from django.forms import inlineformset_factory

from apiguard.models import (
    AllowedOrigin,
    ApiKey,
    BlockedNetwork,
    Client,
    CorsPolicy,
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
from tests.models.world import conflicts_in

# Good and bad; few enough that rows meet, and that unique columns are hit twice.
VALUES = {
    CorsPolicy: {
        "name": ["a", "b", "c"],
        "allowed_methods": [[], ["PATCH"], ["patch"]],
        "allow_credentials": [False, False, True],
        "dangerously_allow_insecure_origins": [False, True],
        "max_age": [0, 600],
    },
    AllowedOrigin: {
        "policy": CorsPolicy,
        "pattern": [
            *(f"https://a{number}.example" for number in range(6)),
            *("https://*.b.example", "https://*.c.b.example:*", "http://d.example", "*", "null"),
        ],
        "enabled": [True, True, False],
    },
    HeaderPolicy: {"name": ["a", "b", "c"]},
    ResponseHeader: {
        "policy": HeaderPolicy,
        "name": ["X-A", "X-B", "Cache-Control", "bad name"],
        "value": ["1", "2"],
        "mode": ["default", "force", "remove"],
        "condition": ["always", "https"],
        "content_types": [[], [], ["text/html"]],
    },
    Tier: {"slug": ["a", "b", "c", "d"], "name": ["A", "B"]},
    Limit: {
        "tier": Tier,
        "name": ["m", "n", "o"],
        "amount": [1, 5, 10**9],
        "period": [60, 3600],
        "route": Route,
        "mode": ["enforce", "shadow", "sometimes"],
    },
    JwtIssuer: {
        "name": ["a", "b", "c"],
        "issuer": ["https://a.example", "https://b.example"],
        "audiences": [["api"], []],
        "algorithms": [["HS256"]],
        "secret_name": ["demo", "nobody"],
        "tier": Tier,
        "enabled": [True, True, False],
    },
    Route: {
        "name": ["a", "b", "c", "d"],
        "path_prefix": ["/a/", "/b/", "/b", "/c/*", "nowhere?", "/d/e/"],
        "mode": ["enforce", "observe", "off", "closed"],
        "cost": [1, 1, 7],
        "methods": [[], ["GET"], ["get"]],
        "cors_policy": CorsPolicy,
        "header_policy": HeaderPolicy,
        "anonymous_tier": Tier,
        "user_tier": Tier,
    },
    BlockedNetwork: {
        "network": ["192.0.2.0/24", "192.0.2.7", "2001:db8::/32", "nonsense", "0.0.0.0/0"],
        "reason": ["a flood", "abuse"],
    },
    Client: {"slug": ["a", "b"], "name": ["A"], "tier": Tier, "enabled": [True, False]},
    LimitOverride: {"client": Client, "limit": Limit, "amount": [1, 5]},
}
REFUSED = (IntegrityError, ProtectedError, ValidationError)


class RandomEdits:
    """Edits rows at random; ``rng`` decides."""

    def __init__(self, rng):
        self.rng = rng
        names = [name for name in vars(RandomEdits) if not name.startswith("_")]
        self._ways = [getattr(self, name) for name in names if name != "edit"]

    def edit(self):
        """One edit; what the database or a rule refuses is undone and leaves nothing."""
        way = self.rng.choice(self._ways)
        try:
            with transaction.atomic():
                way()
        except REFUSED:
            return f"{way.__name__} (refused)"
        return way.__name__

    # -- what to write ------------------------------------------------------------

    def _model(self):
        return self.rng.choice(list(VALUES))

    def _value(self, model, column):
        values = VALUES[model][column]
        if isinstance(values, list):
            return self.rng.choice(values)
        found = values.objects.order_by("?").first() if self.rng.random() < 0.8 else None
        if found is None and not model._meta.get_field(column).null:
            found = values.objects.first()
            if found is None:
                raise IntegrityError
        return found

    def _fresh(self, model):
        return model(**{column: self._value(model, column) for column in VALUES[model]})

    def _some(self, model, most=3):
        pks = list(model.objects.order_by("pk").values_list("pk", flat=True))
        return self.rng.sample(pks, min(len(pks), self.rng.randint(1, most)))

    def _one(self, model):
        [pk] = self._some(model, 1) or [None]
        if pk is None:
            raise IntegrityError
        return model.objects.get(pk=pk)

    def _column(self, model):
        return self.rng.choice(list(VALUES[model]))

    # -- ways to write it -----------------------------------------------------------

    def create(self):
        self._fresh(self._model()).save()

    def create_more(self):
        self._fresh(self.rng.choice([AllowedOrigin, Limit, ResponseHeader, Route])).save()

    def save(self):
        row = self._one(self._model())
        column = self._column(type(row))
        setattr(row, column, self._value(type(row), column))
        row.save()

    def save_some_columns(self):
        row = self._one(self._model())
        column = self._column(type(row))
        setattr(row, column, self._value(type(row), column))
        row.save(update_fields=[column])

    def save_what_was_deferred(self):
        model = self._model()
        column = self._column(model)
        row = model.objects.only(column).get(pk=self._one(model).pk)
        setattr(row, column, self._value(model, column))
        row.save()

    def delete(self):
        self._one(self._model()).delete()

    def delete_many(self):
        model = self._model()
        model.objects.filter(pk__in=self._some(model)).delete()

    def delete_by_a_collector(self):
        row = self._one(self.rng.choice([Route, CorsPolicy, Tier, AllowedOrigin]))
        collector = Collector(using="default")
        collector.collect([row])
        collector.delete()

    def replace_under_the_same_key(self):
        model = self._model()
        row, fresh = self._one(model), self._fresh(model)
        fresh.pk = row.pk
        row.delete()
        fresh.save(force_insert=True)

    def update(self):
        model = self._model()
        column = self._column(model)
        rows = model.objects.filter(pk__in=self._some(model))
        rows.update(**{column: self._value(model, column)})

    def update_the_key(self):
        row = self._one(self.rng.choice([AllowedOrigin, JwtIssuer, ResponseHeader]))
        type(row).objects.filter(pk=row.pk).update(id=row.pk + 1000)

    def bulk_create(self):
        model = self._model()
        model.objects.bulk_create([self._fresh(model) for _ in range(2)], ignore_conflicts=True)

    def upsert(self):
        model = self.rng.choice([CorsPolicy, HeaderPolicy, Tier, Route])
        unique = "slug" if model is Tier else "name"
        columns = [column for column in VALUES[model] if column != unique]
        model.objects.bulk_create(
            [self._fresh(model)],
            update_conflicts=True,
            unique_fields=conflicts_in(unique),
            update_fields=columns or [unique],
        )

    def bulk_update(self):
        model = self._model()
        rows = list(model.objects.filter(pk__in=self._some(model)))
        column = self._column(model)
        for row in rows:
            setattr(row, column, self._value(model, column))
        model.objects.bulk_update(rows, [column], batch_size=1)

    def update_or_create(self):
        Tier.objects.update_or_create(
            {"name": self._value(Tier, "name")}, slug=self._value(Tier, "slug")
        )

    def move_through_a_relation(self):
        self._one(Tier).limits.add(*Limit.objects.filter(pk__in=self._some(Limit)))

    def move_all_through_a_relation(self):
        self._one(CorsPolicy).origins.set(
            AllowedOrigin.objects.filter(pk__in=self._some(AllowedOrigin))
        )

    def clear_a_relation(self):
        self._one(CorsPolicy).routes.clear()

    def swap(self):
        pks = self._some(AllowedOrigin)
        rows = list(AllowedOrigin.objects.filter(pk__in=pks, policy=self._one(CorsPolicy)))
        patterns = [row.pattern for row in rows]
        for row in rows:
            row.pattern = f"https://of-{row.pk}.example"
            row.save()
        for row, pattern in zip(rows, reversed(patterns), strict=True):
            row.pattern = pattern
            row.save()

    def fixture(self):
        model = self._model()
        rows = [self._one(model), self._fresh(model)]
        for item in serializers.deserialize("json", serializers.serialize("json", rows)):
            column = self._column(model)
            setattr(item.object, column, self._value(model, column))
            item.save()

    def inline(self):
        parent = self._one(CorsPolicy)
        formset = inlineformset_factory(CorsPolicy, AllowedOrigin, fields=["pattern"], extra=1)
        rows = list(parent.origins.all())
        sent = {"origins-TOTAL_FORMS": str(len(rows) + 1), "origins-INITIAL_FORMS": str(len(rows))}
        for number, row in enumerate(rows):
            sent[f"origins-{number}-id"] = str(row.pk)
            sent[f"origins-{number}-pattern"] = row.pattern
            if self.rng.random() < 0.3:
                sent[f"origins-{number}-DELETE"] = "on"
        sent[f"origins-{len(rows)}-pattern"] = self._value(AllowedOrigin, "pattern")
        filled = formset(sent, instance=parent, queryset=parent.origins.order_by("pk"))
        if filled.is_valid():
            filled.save()

    def issue_a_key(self):
        ApiKey.objects.issue(self._one(Client), "key")

    def roll_back(self):
        self.edit()
        self.edit()
        raise IntegrityError

    def write_past_the_models(self):
        models.QuerySet(Limit).update(amount=self._value(Limit, "amount"))
        publish(everything)
