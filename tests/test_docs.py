"""What README and docs say is true: every block runs, every link and every name exists."""

from __future__ import annotations

import importlib
import json
import logging
import logging.config
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from io import StringIO
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from django.conf import settings
from django.core.management import load_command_class
from django.dispatch import Signal
from django.test import RequestFactory, override_settings
from django.utils.module_loading import import_string

from apiguard import checks, conf
from apiguard.models import Client, Tier
from apiguard.request.context import GuardContext
from apiguard.request.remedies import REMEDIES
from apiguard.request.verdict import REFUSALS, Outcome
from apiguard.rules.setting_values import PARSERS
from apiguard.transfer.documents import read_document
from apiguard.transfer.policy_files import read_wanted
from tests import models_page
from tests.fresh_project import CHECKOUT, FreshProject, blocks, follow_the_readme, make_project

PAGES = [
    *(CHECKOUT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((CHECKOUT / "docs").glob("*.md")),
]
INDEX = CHECKOUT / "docs" / "index.md"
# Tests of their own follow these to the letter: test_five_minutes.py, test_tutorial.py.
FOLLOWED = {"README.md", "tutorial.md"}
RUNS = {"python", "sh"}


def on_each_page(test: Any) -> Any:
    return pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)(test)


def table_cells(page: str, column: int) -> list[str]:
    lines = (CHECKOUT / page).read_text().splitlines()
    rows = [line.split("|")[1:-1] for line in lines if line.startswith("|")]
    return [row[column].strip() for row in rows if len(row) > column]


def lines_of(page: Path) -> Iterator[str]:
    """The shell lines of a page, without comments."""
    for language, text in blocks(page):
        if language == "sh":
            lines = (line.split("  #")[0].strip() for line in text.splitlines())
            yield from (line for line in lines if not line.startswith("# "))


# -- links and names --------------------------------------------------------------


@on_each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]+))?\)", page.read_text()):
        if "://" in target:
            continue
        path = page.parent / target if target else page
        assert path.exists(), target
        if anchor:
            assert anchor in headings(path), f"{target}#{anchor}"


def headings(page: Path) -> set[str]:
    """The anchors that GitHub makes of the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_page_stands_once_in_the_navigation() -> None:
    listed = re.findall(r"^- \[[^\]]+\]\(([\w-]+\.md)\)", INDEX.read_text(), re.M)
    pages = {page.name for page in PAGES if page.parent == INDEX.parent and page != INDEX}
    assert sorted(listed) == sorted(pages)


def test_the_readme_leads_to_the_navigation_and_to_the_other_pages() -> None:
    linked = set(re.findall(r"\]\((?:docs/)?([\w-]+\.md)", PAGES[0].read_text()))
    assert {"index.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"} <= linked


def test_every_setting_is_documented_and_no_other() -> None:
    documented = [cell.strip("`") for cell in table_cells("docs/settings.md", 0)[2:]]
    assert documented == list(PARSERS)


def test_every_error_code_is_documented() -> None:
    documented = set(re.findall(r"`(\w+)`", " ".join(table_cells("docs/request.md", 2))))
    assert {refusal.error for refusal in REFUSALS.values()} <= documented


def test_every_outcome_is_documented_with_what_the_caller_sees() -> None:
    names, seen = table_cells("docs/outcomes.md", 0)[2:], table_cells("docs/outcomes.md", 1)[2:]
    assert sorted(name.strip("`") for name in names) == sorted(Outcome)
    for name, cell in zip(names, seen, strict=True):
        refusal = REFUSALS.get(Outcome(name.strip("`")))
        if refusal is not None:
            assert cell == f"{refusal.status} `{refusal.error}`", name


def test_the_desk_says_the_same_as_the_docs_about_what_to_do() -> None:
    names, remedies = table_cells("docs/outcomes.md", 0)[2:], table_cells("docs/outcomes.md", 3)[2:]
    for name, cell in zip(names, remedies, strict=True):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", cell).replace("`", "")
        plain = re.sub(r"\*([^*]+)\*", r"“\1”", plain)
        assert REMEDIES[Outcome(name.strip("`"))] == plain


def test_the_page_of_the_models_is_what_the_models_say() -> None:
    fresh = f"{models_page.PAGE} is old. Run: {models_page.COMMAND}"
    assert models_page.PAGE.read_text() == models_page.page(), fresh


# What a project imports, as far as whole modules are for it.
PUBLIC_MODULES = (
    "apiguard.auth",
    "apiguard.decorators",
    "apiguard.ninja",
    "apiguard.rest_framework.authentication",
    "apiguard.rest_framework.permissions",
    "apiguard.rest_framework.throttling",
    "apiguard.signals",
    "apiguard.testing",
)
# For apiguard itself, although another module of it needs the name without an underscore.
INTERNAL = {"apiguard.signals.after_commit"}


def documented_names() -> set[str]:
    page = (CHECKOUT / "docs/api.md").read_text()
    return set(re.findall(r"^\| `(apiguard\.[\w.]+)`", page, re.M))


def exported_names(module: str) -> set[str]:
    """The functions, classes and signals that a module defines without an underscore."""
    return {
        f"{module}.{name}"
        for name, value in vars(importlib.import_module(module)).items()
        if not name.startswith("_")
        and (
            (isinstance(value, Signal) and module == "apiguard.signals")
            or (callable(value) and getattr(value, "__module__", "") == module)
        )
    }


@pytest.mark.parametrize("module", PUBLIC_MODULES)
def test_the_documented_names_of_a_public_module_are_those_that_it_exports(module: str) -> None:
    documented = {name for name in documented_names() if name.rpartition(".")[0] == module}
    assert documented == exported_names(module) - INTERNAL


def test_every_documented_name_can_be_imported() -> None:
    for name in documented_names():
        import_string(name)
    for name in table_cells("docs/api.md", 0)[2:10]:
        assert hasattr(GuardContext, name.strip("`")) or name == "`request_id`" or name == "`route`"


def test_every_folder_of_the_package_is_on_the_map() -> None:
    on_the_map = " ".join(table_cells("docs/architecture.md", 0))
    for folder in (CHECKOUT / "apiguard").iterdir():
        if (folder / "__init__.py").exists() and folder.name != "migrations":
            assert f"`{folder.name}/`" in on_the_map


def test_every_module_and_class_that_the_architecture_names_exists() -> None:
    page = (CHECKOUT / "docs/architecture.md").read_text()
    files = list((CHECKOUT / "apiguard").rglob("*.py"))
    for name in re.findall(r"`(?:\w+/)*(\w+\.py)`", page):
        assert name in {file.name for file in files} or (CHECKOUT / "tests" / name).exists(), name
    source = "".join(file.read_text() for file in files)
    for name in re.findall(r"`([A-Z][a-z]+[A-Za-z]*)`", page):
        assert name == "None" or re.search(rf"^(class )?{name}\b", source, re.M), name


def test_the_readme_begins_with_the_two_commands() -> None:
    first = next(text for language, text in blocks(PAGES[0]) if language == "sh")
    assert [line.split()[0] for line in first.splitlines()] == ["scripts/demo", "scripts/test"]


# -- the command ------------------------------------------------------------------


def options_of(words: list[str]) -> set[str]:
    """The options of one sub-command, from its help.

    Raises:
        AssertionError: there is no such sub-command.
    """
    parser = load_command_class("apiguard", "apiguard").create_parser("manage.py", "apiguard")
    for word in words:
        subs = next(action for action in parser._actions if isinstance(action.choices, dict))
        assert word in subs.choices, " ".join(words)
        parser = subs.choices[word]
    out = StringIO()
    parser.print_help(out)
    return set(re.findall(r"--[a-z][a-z-]*", out.getvalue()))


OF_EVERY_COMMAND = {"--help", "--json", "--settings", "--pythonpath", "--traceback"}


def documented_commands() -> list[tuple[list[str], set[str]]]:
    cells = [cell for cell in table_cells("docs/commands.md", 0) if re.match("`[a-z]", cell)]
    named = [cell.strip("`") for cell in cells if cell.count("`") == 2]
    words = re.compile(r"(?:(?:client|counters|key|route) )?[a-z-]+")
    return [
        (found[0].split(), set(re.findall(r"--[a-z-]+", text)))
        for text in named
        if (found := words.match(text)) and text.split()[0] in sub_commands()
    ]


def sub_commands() -> set[str]:
    parser = load_command_class("apiguard", "apiguard").create_parser("manage.py", "apiguard")
    subs = next(action for action in parser._actions if isinstance(action.choices, dict))
    return set(subs.choices)


def test_every_command_is_documented_with_its_options() -> None:
    documented = documented_commands()
    assert {words[0] for words, _ in documented} == sub_commands()
    for words, options in documented:
        assert options == options_of(words) - OF_EVERY_COMMAND, " ".join(words)


@on_each_page
def test_every_command_in_a_sentence_exists(page: Path) -> None:
    for text in re.findall(r"`(?:python )?manage\.py apiguard ([a-z][^`]*)`", page.read_text()):
        words = re.findall(r"^(?:(?:client|counters|key|route) )?[a-z-]+", text)[0].split()
        assert set(re.findall(r"--[a-z-]+", text)) <= options_of(words), text


# -- blocks -----------------------------------------------------------------------


@on_each_page
def test_every_block_says_what_it_is_and_whether_it_runs(page: Path) -> None:
    assert page.read_text().count("```") == 2 * len(list(blocks(page)))
    for language, text in blocks(page):
        assert language in {*RUNS, "json", "text", "yaml"}, text
        if language == "json":
            json.loads(text)
        if language == "yaml":
            assert read_wanted(read_document(text.encode())).problems == []


@pytest.fixture
def names(db: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the examples take for granted: a project's settings, a client, a request."""
    monkeypatch.setenv("APIGUARD_PEPPER", "p" * 40)
    monkeypatch.setenv("JWT_SECRET", "s" * 40)
    tier = Tier.objects.create(slug="standard", name="Standard")
    request = RequestFactory().get("/")
    request.user = None  # type: ignore[assignment]
    request.apiguard = SimpleNamespace(  # type: ignore[attr-defined]
        **dict.fromkeys(
            "request_id route principal client auth claims scopes verdict".split()  # noqa: SIM905
        )
    )
    module = ModuleType("page_of_the_docs")  # Annotations are looked up in sys.modules.
    monkeypatch.setitem(sys.modules, module.__name__, module)
    taken_for_granted = {
        "INSTALLED_APPS": ["django.contrib.auth"],
        "MIDDLEWARE": ["django.middleware.common.CommonMiddleware"],
        "CACHES": {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
        "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "x"}},
        "OLD": "o" * 40,
        "NEW": "n" * 40,
        "client": Client.objects.create(slug="acme", name="Acme", tier=tier),
        "request": request,
    }
    vars(module).update(taken_for_granted)
    return vars(module)


# Settings of a project that the examples may set, with the check that must find nothing then.
CHECKED = {
    "MIDDLEWARE": checks.check_middleware,
    "CACHES": checks.check_counter,
    "APIGUARD": checks.check_settings,
    "CSRF_TRUSTED_ORIGINS": checks.check_forms_behind_tls,
}


@on_each_page
def test_every_python_block_runs(page: Path, names: dict[str, Any]) -> None:
    for language, text in blocks(page):
        if language == "python":
            before = dict(names)
            exec(compile(text, page.name, "exec"), names)  # noqa: S102 - our own pages
            check_settings({name for name in names if names[name] is not before.get(name)}, names)
    for name in [name for name in names if name.startswith("test_")]:
        with override_settings(APIGUARD={**settings.APIGUARD, "TESTING": True}):
            names[name]()
            names[name]()  # As in a second test run: nothing may be left of the first.


def check_settings(changed: set[str], names: dict[str, Any]) -> None:
    if "LOGGING" in changed:
        check_logging(names["LOGGING"])
    with ExitStack() as stack:
        for name in changed & {*CHECKED, "DATABASES", "SECURE_PROXY_SSL_HEADER"}:
            stack.enter_context(override_settings(**{name: names[name]}))
        if "APIGUARD" in changed:
            conf.current()
        for name in changed & set(CHECKED):
            assert CHECKED[name]() == [], name


def check_logging(config: dict[str, Any]) -> None:
    """Loggers that exist already go on logging, and a record has what its format names."""
    logger = logging.getLogger("django.request")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        logging.config.dictConfig(config)
        assert not logger.disabled
        assert logger.isEnabledFor(logging.ERROR)
        (handler,) = root.handlers
        record = logger.makeRecord("django.request", logging.ERROR, "x", 1, "said", (), None)
        for each in handler.filters:
            each.filter(record)  # type: ignore[union-attr]
        assert "said" in handler.format(record)
    finally:
        root.handlers, root.level = handlers, level


@on_each_page
def test_every_program_in_a_shell_block_exists(page: Path) -> None:
    for line in lines_of(page) if page.name != "tutorial.md" else ():
        words = shlex.split(line)
        if words[:2] == ["python", "manage.py"] or words[0] in ("pip", "curl", "export"):
            continue  # Run below, and in test_five_minutes.py.
        if words[0] == "python":
            assert words[1] == "-m", line
            source = CHECKOUT / f"{words[2].replace('.', '/')}.py"
        else:
            source = CHECKOUT / words[0]
            assert source.stat().st_mode & 0o100, line
        text = source.read_text()
        for word in words[1:]:
            assert not word.startswith("--") or word in text, line
            assert not word.startswith("tests/") or (CHECKOUT / word).exists(), line


# Runs each line of standard input as a command, in one process because a process takes a second.
RUNNER = """
import contextlib, io, json, os, shlex, sys
import django; django.setup()
from django.core.management import execute_from_command_line
results = {}
for line in json.load(sys.stdin):
    words, _, target = line.partition(" > ")
    words, _, path = words.partition(" < ")
    sys.stdin = open(path) if path else io.StringIO()
    try:
        with open(target or os.devnull, "w") as out:
            with contextlib.redirect_stdout(out if target else sys.stdout):
                execute_from_command_line(shlex.split(words)[1:])
        results[line] = 0
    except SystemExit as error:
        results[line] = error.code
print("RESULTS" + json.dumps(results))
"""

# What the imports of docs/moving.md read.
OTHER_PACKAGES = """
CORS_ALLOWED_ORIGINS = ["https://app.example.com"]
INSTALLED_APPS += ["rest_framework_api_key"]
SIMPLE_JWT = {
    "SIGNING_KEY": "s" * 40,
    "ISSUER": "simplejwt",
    "AUDIENCE": "api",
    "USER_ID_CLAIM": "sub",
    "USER_ID_FIELD": "username",
}
REST_FRAMEWORK["DEFAULT_THROTTLE_CLASSES"] += [
    "rest_framework.throttling.AnonRateThrottle",
    "rest_framework.throttling.UserRateThrottle",
]
REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"] = {"anon": "30/min", "user": "1000/day"}
APIGUARD["JWT_SECRETS"] = {"simplejwt": SIMPLE_JWT["SIGNING_KEY"]}
"""

ROWS = """
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> FreshProject:
    made = make_project(tmp_path_factory.mktemp("docs"))
    follow_the_readme(made, redis_url)
    made.add_settings(OTHER_PACKAGES)
    (made.root / "access.log").write_text("GET / 200 ag_live_nobody\n")
    made.python("-c", ROWS)
    return made


def test_every_django_command_in_a_shell_block_runs(project: FreshProject) -> None:
    lines = [
        line
        for page in PAGES
        if page.name not in FOLLOWED
        for line in lines_of(page)
        if "manage.py" in line
    ]
    assert lines
    said = project.python("-c", RUNNER, stdin=json.dumps(lines))
    results = json.loads(said.split("RESULTS")[1].splitlines()[0])
    failed = {line: code for line, code in results.items() if code}
    assert failed == {}, f"{failed}\n{said}"
