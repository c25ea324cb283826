"""Artifacts drawn as pages, pictures, Markdown and lines of a terminal."""
