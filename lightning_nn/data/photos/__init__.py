"""Photographs in pairs, one for the content of a picture and one for its style."""
