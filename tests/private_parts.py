"""Where apiguard uses what another package keeps private, found in the parsed source.

A use is one of these:

- an attribute with a leading underscore on anything but ``self`` and ``cls``, unless
  the same module defines that name;
- such a name as text in ``getattr``, ``setattr``, ``hasattr`` and ``delattr``;
- an imported name with a leading underscore;
- a method or attribute of a class that one of its base classes outside apiguard has too;
- what Python keeps behind a function, and a change of an object's class.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.source import Package, defined_names

# Documented by Django as public in spite of the underscore, and by Python for named tuples.
DOCUMENTED = {"_meta", "_state", "_db", "_base_manager", "_default_manager"} | {
    "_replace",
    "_asdict",
    "_fields",
}
BEHIND = {"__globals__", "__code__", "__closure__", "__defaults__"}
BY_TEXT = {"getattr", "setattr", "hasattr", "delattr"}
# What apiguard itself leaves on an object of Django, under a name nobody else has.
OWN_PREFIX = "_apiguard"


class Use(NamedTuple):
    """An attribute of another package, and the module of apiguard that uses it."""

    module: str
    attribute: str


def find_uses(package: Package) -> set[Use]:
    """Every use of another package's private parts. Django must be set up."""
    return {
        Use(module, attribute)
        for module in package.trees
        if ".migrations" not in module
        for attribute in (
            *attributes_of(package.trees[module]),
            *_imported(package, module),
            *_inherited(package, module),
        )
    }


def is_private(name: str) -> bool:
    """Whether a name is private to whoever defined it."""
    dunder = name.startswith("__") and name.endswith("__")
    open_to_us = name in DOCUMENTED or name.startswith(OWN_PREFIX) or name == "_"
    return name in BEHIND or (name.startswith("_") and not dunder and not open_to_us)


def attributes_of(tree: ast.Module) -> Iterator[str]:
    """Private attributes that a module uses of objects which are not its own."""
    own = _defined(tree)
    for node in ast.walk(tree):
        name = ""
        if isinstance(node, ast.Attribute):
            name = "" if _is_self(node.value) else node.attr
            if node.attr == "__class__" and isinstance(node.ctx, ast.Store):
                yield node.attr
        elif isinstance(node, ast.Call):
            name = _by_text(node)
        if is_private(name) and name not in own:
            yield name


def _defined(tree: ast.Module) -> set[str]:
    """The names that a module defines; what it assigns to another's attribute alone is not one."""
    stored = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    ]
    own = {node.attr for node in stored if _is_self(node.value)}
    return own | (defined_names(tree) - {node.attr for node in stored})


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def _by_text(call: ast.Call) -> str:
    if not (isinstance(call.func, ast.Name) and call.func.id in BY_TEXT and len(call.args) > 1):
        return ""
    name = call.args[1]
    return name.value if isinstance(name, ast.Constant) and isinstance(name.value, str) else ""


def _imported(package: Package, module: str) -> Iterator[str]:
    for node in ast.walk(package.trees[module]):
        # A module of type stubs alone, for type checkers alone, is public to them.
        if isinstance(node, ast.ImportFrom) and not node.level and node.module != "_typeshed":
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            yield from filter(is_private, names)


def _inherited(package: Package, module: str) -> Iterator[str]:
    """Private names in the classes of a module that a foreign base class uses as well."""
    classes = [node for node in ast.walk(package.trees[module]) if isinstance(node, ast.ClassDef)]
    namespace = vars(importlib.import_module(module)) if classes else {}
    for node in classes:
        found = namespace.get(node.name)
        if inspect.isclass(found):
            yield from _used_by(node) & _names_of_foreign_bases(found)


def _used_by(node: ast.ClassDef) -> set[str]:
    used = {
        inner.attr
        for inner in ast.walk(node)
        if isinstance(inner, ast.Attribute) and _is_self(inner.value)
    }
    return set(filter(is_private, used | defined_names(node)))


def _names_of_foreign_bases(found: type[Any]) -> set[str]:
    names: set[str] = set()
    for base in found.__mro__:
        if base.__module__.partition(".")[0] in ("apiguard", "builtins"):
            continue
        names |= set(vars(base))
        for value in vars(base).values():
            code = getattr(inspect.unwrap(value) if callable(value) else value, "__code__", None)
            names |= set(code.co_names) if code else set()
    return names
