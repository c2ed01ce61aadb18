"""Typed pieces of an utterance: order numbers, dates, money, addresses, products …"""

from edge_runtime.nlu.entities.extract import EntityExtractor

__all__ = ["EntityExtractor"]
