"""The subcommands of ``edge-runtime``."""
