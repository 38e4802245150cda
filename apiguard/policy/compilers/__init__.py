"""One file per kind of row: rows in, frozen policy out, problems noted."""
