"""Pictures of a few objects before a ground and a sky, generated on demand."""
