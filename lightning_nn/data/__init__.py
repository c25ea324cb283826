"""Data sets, a folder for each kind, and the modules they share."""
