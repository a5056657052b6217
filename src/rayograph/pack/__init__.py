"""Originals in, a packed dataset out."""
