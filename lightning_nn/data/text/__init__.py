"""Text: from files to batches of words."""
