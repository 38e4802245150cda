"""Pure judgement: no Django, no settings, no rows, no I/O."""
