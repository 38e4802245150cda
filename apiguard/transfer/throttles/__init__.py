"""Rates of other packages -> tiers with limits in shadow mode.

``found.py`` is what a reader found; ``drf.py``, ``decorators.py`` and
``smart_ratelimit.py`` read one package each; ``rows.py`` writes the rows.
"""
