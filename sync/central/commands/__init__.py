"""``edge-central``'s commands, one module per subject."""
