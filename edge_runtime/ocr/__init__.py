"""Reading text from pictures: receipts, invoices, type plates, appliance displays."""

from edge_runtime.ocr.base import READ_TIMEOUT_S, TextReader
from edge_runtime.ocr.fields import find_fields
from edge_runtime.ocr.image import load_image
from edge_runtime.ocr.layout import page_text, reading_order
from edge_runtime.ocr.registry import READERS, create_reader

__all__ = [
    "READERS",
    "READ_TIMEOUT_S",
    "TextReader",
    "create_reader",
    "find_fields",
    "load_image",
    "page_text",
    "reading_order",
]
