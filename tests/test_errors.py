"""Policy errors are values: they compare, they move to a field, they become JSON."""

from __future__ import annotations

import inspect
import json

import pytest

from apiguard import errors
from apiguard.errors import OriginError, PathError, PolicyError

KINDS = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, PolicyError)
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_policy_error_that_the_tree_shows(kind):
    assert issubclass(kind, ValueError)
    assert kind.__name__ in (errors.__doc__ or "")


def test_equal_mistakes_are_equal_and_hash_alike():
    one, other = (PathError("empty", "", "Empty.", "Write /.") for _ in range(2))
    assert one == other
    assert len({one, other}) == 1


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(OriginError("empty", "", "Empty."), id="another kind"),
        pytest.param(PathError("full", "", "Empty."), id="another code"),
        pytest.param(PathError("empty", " ", "Empty."), id="another value"),
        pytest.param(PathError("empty", "", "Empty.", field="a"), id="another field"),
        pytest.param("empty", id="no error"),
    ],
)
def test_other_mistakes_differ(other):
    assert PathError("empty", "", "Empty.") != other


def test_an_error_can_be_moved_to_a_field_without_changing_the_first():
    first = PathError("empty", "", "Empty.", "Write /.", suggestion="/")
    moved = first.at("path_prefix")
    assert (first.field, moved.field, moved.suggestion) == ("", "path_prefix", "/")
    assert type(moved) is PathError


def test_it_reads_as_reason_and_hint():
    assert str(PathError("empty", "", "Empty.", "Write /.")) == "Empty. Write /."
    assert str(PathError("empty", "", "Empty.")) == "Empty."


@pytest.mark.parametrize("value", ["text", 5, None, ["a"], float("nan"), object, b"\xff"])
def test_whatever_the_value_it_becomes_json(value):
    error = PolicyError("code", value, "Reason.")
    told = json.loads(json.dumps(error.as_dict()))
    assert told["value"] == (value if isinstance(value, str) else repr(value))
    assert hash(error) == hash(PolicyError("code", value, "Reason."))
