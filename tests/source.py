"""A package of this repository as parsed source: its modules, what each imports, its names.

Imports are read from the source, so that a lazy import inside a function and one
under ``TYPE_CHECKING`` count like any other.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


@dataclass(frozen=True, slots=True)
class Package:
    """Dotted name of every module -> its file, its tree, the names of what it imports."""

    files: Mapping[str, Path]
    trees: Mapping[str, ast.Module]
    imports: Mapping[str, set[str]]

    def inner_imports(self, module: str) -> set[str]:
        """The modules of the same package that ``module`` imports."""
        return {name for name in self.imports[module] if name in self.files and name != module}

    def closure(self, module: str) -> set[str]:
        """The modules of the package that ``module`` needs, itself included."""
        found: set[str] = set()
        pending = [module]
        while pending:
            name = pending.pop()
            if name not in found:
                found.add(name)
                pending += self.inner_imports(name)
        return found

    def import_circle(self) -> list[str]:
        """Modules of which each imports the next and the last is the first; empty if none."""
        graph = {name: self.inner_imports(name) for name in self.files}
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as circle:
            return [str(name) for name in reversed(circle.args[1])]
        return []


@cache
def read_package(name: str) -> Package:
    """Parse every module below the folder ``name`` at the top of the repository."""
    files = {}
    for path in sorted((ROOT / name).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    trees = {module: ast.parse(path.read_bytes()) for module, path in files.items()}
    imports = {
        module: set(imported(module, trees[module], path.name == "__init__.py", set(files)))
        for module, path in files.items()
    }
    return Package(files, trees, imports)


def imported(module: str, tree: ast.AST, is_package: bool, known: set[str]) -> Iterator[str]:
    """Every module that ``module`` imports, wherever in its source the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = _base_of(module, is_package, node.level) if node.level else ""
            source = ".".join(part for part in (start, node.module) if part)
            for alias in node.names:
                full = f"{source}.{alias.name}"
                yield full if full in known else source
        elif isinstance(node, ast.Call):
            yield from _by_name(node)


def _base_of(module: str, is_package: bool, level: int) -> str:
    """The package that a relative import of ``level`` dots starts from."""
    parts = module.split(".")
    drop = level - 1 if is_package else level
    return ".".join(parts[: len(parts) - drop])


def _by_name(call: ast.Call) -> Iterator[str]:
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name in ("import_module", "import_string", "__import__") and call.args:
        first = call.args[0]
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield first.value


def defined_names(tree: ast.AST) -> set[str]:
    """Names that the source chooses: of functions, classes, arguments, variables, attributes."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
        elif isinstance(node, ast.alias) and node.asname:
            found.add(node.asname)
    return found


def words_of(name: str) -> set[str]:
    """The words in ``snake_case`` and ``CamelCase``, lowercase."""
    return {word.lower() for word in WORD.findall(name)}


def count_lines(paths: Iterable[Path]) -> int:
    """Lines of all these files."""
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)
