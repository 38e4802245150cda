"""Every row and every field of policy is in files, or is named as left out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.apps import apps
from django.db import models

from apiguard.models import PolicyModel
from apiguard.transfer.apply import apply_document
from apiguard.transfer.difference import compare_entries
from apiguard.transfer.documents import Document
from apiguard.transfer.entries import read_policy
from apiguard.transfer.export import as_data
from apiguard.transfer.policy_files import read_wanted
from apiguard.transfer.sections import BY_MODEL, NOT_IN_FILES, SECTIONS

POLICY_MODELS = [
    model
    for model in apps.get_app_config("apiguard").get_models()
    if issubclass(model, PolicyModel)
]
# What a file leaves out, and why.
LEFT_OUT = {
    "id": "other databases number rows otherwise",
    "revision": "it is the database's own",
    "fetched_jwks": "workers fetch it",
    "fetched_at": "workers fetch it",
}
FIELDS = [(section, name) for section in SECTIONS for name in section.fields]


@pytest.mark.parametrize("model", POLICY_MODELS)
def test_every_model_of_policy_is_in_files_or_named_as_left_out(model):
    assert (model in BY_MODEL) != (model in NOT_IN_FILES)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
def test_every_field_is_in_files_or_named_as_left_out(section):
    fields = {field.name for field in section.model._meta.get_fields() if field.concrete}
    assert fields == {*section.fields, section.parent, *section.left_out, "revision", "id"} - {
        "",
        *({"revision"} - fields),
    }
    assert set(section.left_out) <= set(LEFT_OUT)


@pytest.mark.parametrize(("section", "name"), FIELDS, ids=lambda part: getattr(part, "name", part))
def test_files_know_how_to_write_a_field(section, name):
    """A field of a kind that is new here needs a decision how files hold it."""
    known = (
        *(models.BooleanField, models.IntegerField, models.CharField, models.TextField),
        *(models.JSONField, models.DateTimeField, models.ForeignKey),
    )
    assert isinstance(section.fields[name], known)


@pytest.fixture
def policy(db):
    """One row of each kind, its policy and its document."""
    data = {
        "cors_policies": [{"name": "c", "origins": [{"pattern": "https://a.example"}]}],
        "header_policies": [{"name": "h", "headers": [{"name": "X-A", "value": "1"}]}],
        "tiers": [{"slug": "t", "name": "T", "limits": [{"name": "m", "amount": 9, "period": 60}]}],
        "routes": [{"name": "r", "path_prefix": "/r/"}],
        "issuers": [
            {
                "name": "i",
                "issuer": "https://i.example",
                "audiences": ["api"],
                "algorithms": ["HS256"],
                "secret_name": "demo",
            }
        ],
        "clients": [{"slug": "c", "name": "C", "overrides": [{"limit": "t/m", "amount": 5}]}],
    }
    apply_document(Document(data))
    return read_policy()


def another(value):
    """A plain value that is not this one."""
    if isinstance(value, list | dict):
        return ["x"] if isinstance(value, list) else {"x": 1}
    return not value if isinstance(value, bool) else f"{value}x"


def test_a_field_that_differs_is_all_that_a_plan_names(policy):
    document = Document(as_data(policy.entries, clients=True))
    wanted = read_wanted(document)
    assert wanted.problems == []
    assert {row_id[0] for row_id in policy.entries} == {section.name for section in SECTIONS}
    for row_id, entry in policy.entries.items():
        section = next(section for section in SECTIONS if section.name == row_id[0])
        for name in section.fields:
            values = {**entry.values, name: another(entry.values[name])}
            current = {**policy.entries, row_id: replace(entry, values=values)}
            (changed,) = compare_entries(current, wanted, document).changed
            assert (changed.before.id, changed.fields) == (row_id, (name,))
