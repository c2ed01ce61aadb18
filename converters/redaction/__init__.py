"""Teaches the device's reader of names and addresses."""

from typing import Final

SENTENCES: Final = 900_000
"""Made to learn from: as many as for the table that ships, about five minutes of one core."""
