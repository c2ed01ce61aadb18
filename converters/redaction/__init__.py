"""Teaches the device's reader of names and addresses."""
