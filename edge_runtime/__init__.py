"""edge runtime: the offline customer-service assistant for POS terminals, speakers and kiosks."""

from __future__ import annotations

__version__ = "0.1.0"
