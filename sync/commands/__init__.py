"""``edge-sync``'s commands, one module a subject."""
