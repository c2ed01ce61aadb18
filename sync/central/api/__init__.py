"""The HTTP API: one module per kind of caller or subject, each a router over one context."""
