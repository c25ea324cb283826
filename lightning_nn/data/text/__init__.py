"""Documents, from files to batches of words."""
