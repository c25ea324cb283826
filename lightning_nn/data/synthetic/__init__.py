"""Data sets generated on demand."""
