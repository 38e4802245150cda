"""The admin as a person's browser uses it: sign in, open a form, change something, send it.

A form is sent back with everything that the page had in it, so these tests
know the names of the fields they change and of no others.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, build_opener

from tests.server.calls import Site

Fields = dict[str, list[str]]


class _Forms(HTMLParser):
    """What a browser would send for each form of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.forms: list[Fields] = []
        self._select = ""
        self._textarea = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append({})
        elif tag == "input":
            self._input(given)
        elif tag == "select":
            self._select = given.get("name", "")
        elif tag == "option" and self._select and "selected" in given:
            self._add(self._select, given.get("value", ""))
        elif tag == "textarea":
            self._textarea = given.get("name", "")
            self._add(self._textarea, "")

    def _input(self, given: dict[str, str]) -> None:
        kind = given.get("type", "text")
        if kind in ("submit", "button", "image", "reset", "file"):
            return
        if kind not in ("checkbox", "radio"):
            self._add(given.get("name", ""), given.get("value", ""))
        elif "checked" in given:
            self._add(given.get("name", ""), given.get("value", "on"))

    def handle_data(self, data: str) -> None:
        if self._textarea:
            self.forms[-1][self._textarea][-1] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = ""
        elif tag == "textarea" and self._textarea:
            # The line end after <textarea> belongs to HTML, not to the text.
            self.forms[-1][self._textarea][-1] = self.forms[-1][self._textarea][-1].lstrip("\r\n")
            self._textarea = ""

    def _add(self, name: str, value: str) -> None:
        if name and self.forms:
            self.forms[-1].setdefault(name, []).append(value)


def confirmation_of(page: str) -> tuple[str, str] | None:
    """Name and value of the box that confirms what an edit does, where a page asks for it."""
    found = re.search(r'name="(_confirm_effects)" value="([0-9a-f]+)"', page)
    return None if found is None else (found[1], found[2])


class Desk:
    """Somebody who is signed in to the admin."""

    def __init__(self, site: Site) -> None:
        self._base = site.server.base_url
        self._browser = build_opener(HTTPCookieProcessor())
        self.send(
            "/admin/login/?next=/admin/", username=site.demo.username, password=site.demo.password
        )

    def open(self, path: str, fields: Fields | None = None) -> tuple[str, str]:
        """The URL and the text of the page that a browser ends at."""
        body = None if fields is None else urlencode(fields, doseq=True).encode()
        with self._browser.open(self._base + path, body, timeout=30) as answer:
            return answer.geturl(), answer.read().decode()

    def fields(self, path: str, having: str) -> Fields:
        """The form of a page that has a field of this name."""
        _, page = self.open(path)
        forms = _Forms(page).forms
        found = next((form for form in forms if having in form), None)
        assert found is not None, f"{path} has no form with {having!r}: {forms}"
        return found

    def send(self, path: str, **changes: str) -> None:
        """Change fields of a form, send it, and see that it was accepted."""
        fields = self.fields(path, next(iter(changes)))
        fields |= {name: [value] for name, value in changes.items()}
        url, page = self.open(path, fields)
        if box := confirmation_of(page):
            url, page = self.open(path, fields | {box[0]: [box[1]]})
        # What is refused is shown again where it was sent to.
        assert url != self._base + path, page
