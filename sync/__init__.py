"""The sync layer: conversations up, better models down, whenever there is a connection."""
