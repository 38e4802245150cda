"""How ``scripts/docs`` makes pages of the Markdown files beside this one.

The files also read well where they are. So the navigation is made of the lists of
``index.md``, and no file has a directive of Sphinx.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

project = "apiguard"
copyright = "apiguard contributors"  # noqa: A001 - the name that Sphinx reads
html_title = "apiguard"
html_theme = "furo"
html_show_sphinx = False
# Nothing is loaded from elsewhere, and nothing is written that a build does not need.
html_copy_source = False
html_static_path = ["images/static"]
html_css_files = ["tables.css"]

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
source_suffix = {".md": "markdown"}
exclude_patterns = ["images"]
pygments_style = "default"
pygments_dark_style = "monokai"
# A shortened answer, such as {"requestId": "…"}, is shown as it is.
suppress_warnings = ["misc.highlighting_failure"]

_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_PAGE = re.compile(r"^- \[[^\]]+\]\(([\w-]+)\.md\)", re.MULTILINE)


def add_navigation(app: Any, docname: str, source: list[str]) -> None:
    """Put a hidden table of contents behind each section of the index."""
    if docname != "index":
        return
    parts = _SECTION.split(source[0])
    for title, text in zip(parts[1::2], parts[2::2], strict=True):
        pages = "\n".join(_PAGE.findall(text))
        if pages:
            source[0] += f"\n:::{{toctree}}\n:hidden:\n:caption: {title}\n\n{pages}\n:::\n"


def include_changelog(app: Any, docname: str, source: list[str]) -> None:
    """Make the page of the changelog of the file that stands in the checkout's top folder."""
    if docname == "changelog":
        text = (Path(app.srcdir).parent / "CHANGELOG.md").read_text()
        source[0] = text.replace("](docs/", "](")


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", include_changelog)
    app.connect("source-read", add_navigation)
