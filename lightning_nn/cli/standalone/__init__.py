"""Programs for model folders, which run without this package; `source` writes one with its modules as one file."""
