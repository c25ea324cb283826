"""Files of a run: its folder, checkpoints, saved settings and results."""
