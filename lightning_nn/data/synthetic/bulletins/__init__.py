"""Chinese bulletins, generated on demand."""
