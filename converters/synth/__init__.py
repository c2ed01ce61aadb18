"""Labelled text and conversations for a shop that has none yet, out of its domain pack."""
