"""One direction: every module of apiguard imports only from what stands to its left."""

from __future__ import annotations

import ast

import pytest

from tests.source import imported, read_package

# Each layer, and the layers that it may import from besides itself.
BASE = {"errors", "bounded_cache", "rules", "conf", "concurrency", "test_run"}
ROWS = {*BASE, "models"}
ROOM = {*BASE, "policy", "counters", "telemetry"}
DOOR = {*ROWS, *ROOM, "request"}
ROWS_AND_FILES = {*DOOR, "middleware", "rest_framework", "history", "transfer"}
EVERYTHING = {*ROWS_AND_FILES, "admin", "management", "caching"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "bounded_cache": set(),
    "rules": {"errors"},
    "concurrency": {"errors"},
    "test_run": set(),
    "conf": {"errors", "rules", "test_run"},
    "models": BASE,
    "policy": ROWS,
    "counters": {"errors", "rules", "concurrency"},
    # Workers leave their reports in the counter's store.
    "telemetry": {*ROWS, "counters"},
    "request": ROOM,
    # Django loads it with the first cache, before apps are ready: it imports nothing of ours.
    "caching": set(),
    "middleware": {*DOOR, "caching"},
    "rest_framework": DOOR,
    "ninja": DOOR,
    "decorators": DOOR,
    "auth": DOOR,
    "urls": DOOR,
    "history": DOOR,
    "transfer": {*DOOR, "middleware", "rest_framework", "history"},
    "admin": ROWS_AND_FILES,
    "management": ROWS_AND_FILES,
    "checks": EVERYTHING,
    "testing": EVERYTHING,
    "pytest_plugin": {"test_run", "testing"},
    "apps": {*EVERYTHING, "checks", "testing"},
}

# Modules that belong to a layer of another name.
HOME = {"templatetags": "admin", "receivers": "models", "signals": "models", "migrations": "models"}

DJANGO_ORM = ("django.db", "django.apps", "django.contrib.contenttypes")
FOREIGN = {
    # What these layers may know of the world outside apiguard.
    "concurrency": ("django", "rest_framework"),
    "rules": ("django", "rest_framework"),
    "counters": ("django.db", "django.contrib", "rest_framework"),
    "request": (*DJANGO_ORM, "rest_framework"),
    "conf": (*DJANGO_ORM, "rest_framework"),
    "models": ("rest_framework",),
    "policy": ("rest_framework",),
    "middleware": (*DJANGO_ORM, "rest_framework"),
    "ninja": (*DJANGO_ORM, "rest_framework"),
    "decorators": (*DJANGO_ORM, "rest_framework"),
    "auth": (*DJANGO_ORM, "rest_framework"),
}


APIGUARD = read_package("apiguard")
MODULES, TREES, IMPORTS = APIGUARD.files, APIGUARD.trees, APIGUARD.imports


def layer_of(module: str) -> str:
    """The layer of a module of apiguard; "" for the package itself."""
    first = module.split(".")[1] if "." in module else ""
    return HOME.get(first, first)


def is_ours(module: str) -> bool:
    return module == "apiguard" or module.startswith("apiguard.")


@pytest.mark.parametrize("module", MODULES)
def test_every_module_stands_in_a_layer(module):
    assert module == "apiguard" or layer_of(module) in ALLOWED


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_what_stands_to_its_left(module):
    layer = layer_of(module)
    allowed = {layer} | ALLOWED.get(layer, set())
    ours = {name for name in IMPORTS[module] if is_ours(name)}
    assert {name for name in ours if layer_of(name) not in allowed} == set()


@pytest.mark.parametrize("module", [name for name in MODULES if layer_of(name) in FOREIGN])
def test_a_layer_knows_only_its_part_of_the_world(module):
    banned = FOREIGN[layer_of(module)]
    found = {
        name
        for name in IMPORTS[module]
        if any(name == prefix or name.startswith(f"{prefix}.") for prefix in banned)
    }
    assert found == set()


@pytest.mark.parametrize("module", [name for name in MODULES if layer_of(name) == "request"])
def test_nothing_in_request_touches_a_manager(module):
    managers = {"objects", "_default_manager", "_base_manager", "get_model"}
    used = {node.attr for node in ast.walk(TREES[module]) if isinstance(node, ast.Attribute)}
    assert used & managers == set()


@pytest.mark.parametrize("package", ["apiguard", "benchmarks"])
def test_there_is_no_import_circle(package):
    circle = read_package(package).import_circle()
    assert circle == [], " imports ".join(circle)


def test_the_package_itself_is_empty():
    assert TREES["apiguard"].body == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        pytest.param("def f():\n    from ..models import Route", "apiguard.models", id="lazy"),
        pytest.param(
            "if TYPE_CHECKING:\n    import apiguard.models", "apiguard.models", id="types"
        ),
        pytest.param("from . import facts", "apiguard.request.facts", id="a sibling"),
        pytest.param("from .facts import Facts", "apiguard.request.facts", id="from a sibling"),
        pytest.param("import_module('apiguard.models')", "apiguard.models", id="by name"),
        pytest.param("from apiguard import conf", "apiguard.conf", id="absolute"),
    ],
)
def test_an_import_is_seen_wherever_it_hides(source, found):
    known = {"apiguard.models", "apiguard.request.facts", "apiguard.conf"}
    seen = imported("apiguard.request.cors", ast.parse(source), False, known)
    assert found in set(seen)
