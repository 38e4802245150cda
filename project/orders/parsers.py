"""JSON as Django REST framework reads it, with an answer to bodies that are nested too deeply."""

from __future__ import annotations

from typing import Any

from rest_framework import parsers
from rest_framework.exceptions import ParseError


class JSONParser(parsers.JSONParser):
    """Answers 400 where the stock parser ends in a ``RecursionError``, which is a 500."""

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        """As the stock parser's.

        Raises:
            ParseError: it is no JSON, or nested too deeply.
        """
        try:
            return super().parse(*args, **kwargs)
        except RecursionError as error:
            raise ParseError("The JSON is nested too deeply.") from error
