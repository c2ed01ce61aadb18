from __future__ import annotations
def find_fields(rows): return {}
