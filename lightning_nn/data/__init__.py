"""Data sets, a file each, and the parts they share."""
