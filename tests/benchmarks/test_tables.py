"""How a benchmark prints its figures."""

from __future__ import annotations

from benchmarks.tables import Table

TABLE = Table("Speed", "Of two.", ["who", "µs"], [["the hare", 9], ["the tortoise", 1234]])


def test_text_has_names_to_the_left_and_numbers_to_the_right():
    assert TABLE.text() == (
        "SPEED\nOf two.\n\n"
        "who             µs\n"
        "------------------\n"
        "the hare         9\n"
        "the tortoise  1234\n"
    )


def test_markdown_is_a_heading_a_note_and_a_table():
    assert TABLE.markdown() == (
        "## Speed\n\nOf two.\n\n"
        "| who | µs |\n|---|---|\n| the hare | 9 |\n| the tortoise | 1234 |\n"
    )
