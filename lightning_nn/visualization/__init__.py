"""Drawings of artifacts: images, pages, Markdown and lines for a terminal."""
