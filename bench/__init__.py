"""Measurements of speed, memory and quality. ``make bench`` or ``python -m bench [NAME…]``."""
