"""How much of apiguard somebody reads to understand it, in numbers.

    python -m benchmarks.reading [--markdown]

Prints which files one warm guarded request runs and how often it goes from one
file to another, what ``apiguard/middleware.py`` imports, which private parts of
other packages are used, which words of the list in ``tests/test_names.py``
stand in names, and lines of code. Brings a Redis of its own; seconds.

A request is counted behind the middleware alone, before a plain view, and with
DRF's classes as well: a key, three limits, CORS, a client that was seen before
under another address. A switch is a call of a function, or a step of a
generator, in another file of apiguard than the one before it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import django

from benchmarks.site.cases import BY_NAME
from benchmarks.stage import acting, set_up
from benchmarks.tables import Table, progress, say
from tests.source import Package, count_lines, read_package
from tests.stores import redis_server

ENTRY = "apiguard.middleware"
CASES = {"guard-alone": "plain view", "apiguard-key": "DRF view"}
CREDENTIAL = "apiguard-key"
# Of files, switches and imported modules; None: nothing is aimed at.
TARGETS = {"files": 28, "switches": 70, "imports": 70}


def called_files() -> dict[str, list[str]]:
    """Per case, the file of apiguard of every call in one warm request, in order."""
    called = {}
    with tempfile.TemporaryDirectory() as folder, redis_server() as server:
        for name in CASES:
            progress(f"one request: {name}")
            case, place = BY_NAME[name], Path(folder) / name
            place.mkdir()
            stage = set_up(place, f"{server.base_url}/0", case)
            headers = {name: [json.dumps(stage.credentials[CREDENTIAL])]}
            with acting({name: stage.environment(case)}, headers) as actors:
                actors[name].ask("time", requests=5)
                called[name] = actors[name].ask("files")
    return called


def requests_table(called: dict[str, list[str]]) -> Table:
    """A row per case: files, switches, calls."""
    rows: list[list[Any]] = [
        [CASES[name], len(set(files)), switches(files), len(files)]
        for name, files in called.items()
    ]
    note = (
        f"At most {TARGETS['files']} files and {TARGETS['switches']} switches are aimed at "
        "before a plain view."
    )
    return Table("One warm request", note, ["before a", "files", "switches", "calls"], rows)


def switches(files: Sequence[str]) -> int:
    """How often a call stands in another file than the call before it."""
    return sum(one != other for one, other in pairwise(files))


def files_table(files: Sequence[str]) -> Table:
    """The files of one request, by first call."""
    rows = [[file, files.count(file)] for file in dict.fromkeys(files)]
    return Table("Its files", "Before a plain view.", ["file", "calls"], rows)


def sizes_table(package: Package) -> Table:
    """Imports, files and lines."""
    tests = read_package("tests").files.values()
    rows: list[list[Any]] = [
        [f"modules that {ENTRY} imports, over all detours", len(package.closure(ENTRY))],
        ["modules of apiguard", len(package.files)],
        ["lines of apiguard", f"{count_lines(package.files.values()):,}"],
        ["lines of tests", f"{count_lines(tests):,}"],
    ]
    note = f"At most {TARGETS['imports']} imported modules are aimed at."
    return Table("Sizes", note, ["what", "number"], rows)


def private_parts_table(package: Package) -> Table:
    """Every private attribute of another package, and where it is used."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings_test"
    django.setup()
    from tests.private_parts import find_uses

    rows = [[use.attribute, use.module] for use in sorted(find_uses(package))]
    note = "What other packages keep private and apiguard uses; tests/test_private_parts.py."
    return Table("Private parts of others", note, ["attribute", "module"], rows)


def words_table(package: Package) -> Table:
    """Every word that names should not have, and how many names of which modules have it."""
    from tests.test_names import found_words

    by_word: dict[str, list[str]] = {}
    for module, word, _ in sorted(found_words(package)):
        by_word.setdefault(word, []).append(module.removeprefix("apiguard."))
    rows: list[list[Any]] = [
        [word, len(modules), shortened(list(dict.fromkeys(modules)))]
        for word, modules in sorted(by_word.items(), key=lambda item: -len(item[1]))
    ]
    rows.append(["all", sum(map(len, by_word.values())), ""])
    note = "Words in names that say nothing to a stranger; tests/test_names.py has the list."
    return Table("Words", note, ["word", "names", "modules"], rows)


def shortened(names: Sequence[str]) -> str:
    """The first three names, and how many follow."""
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + rest


def main() -> int:
    """Count and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reading")
    parser.add_argument("--markdown", action="store_true", help="tables as the docs have them")
    options = parser.parse_args()
    package, called = read_package("apiguard"), called_files()
    for table in (
        requests_table(called),
        files_table(called["guard-alone"]),
        sizes_table(package),
        private_parts_table(package),
        words_table(package),
    ):
        say(table.markdown() if options.markdown else table.text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
