"""Chinese bulletins, generated on the spot."""
