"""The subcommands of ``edge-convert``: they parse, call and print."""
