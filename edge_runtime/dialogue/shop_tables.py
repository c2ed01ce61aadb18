"""The tables of the shop's database and the one view of an order that everything reads."""

from __future__ import annotations

CREATE = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE customers (id TEXT PRIMARY KEY, name TEXT, phone TEXT, tier TEXT, language TEXT);
CREATE TABLE products (id TEXT PRIMARY KEY, category TEXT, price TEXT, stock INTEGER, image TEXT,
    names TEXT, aliases TEXT);
CREATE TABLE orders (id TEXT PRIMARY KEY, customer TEXT, status TEXT, items TEXT, total TEXT,
    address TEXT, carrier TEXT, refund TEXT, placed_day INTEGER, eta_day INTEGER,
    delivered_day INTEGER, refund_day INTEGER);
CREATE TABLE stores (id TEXT PRIMARY KEY, phone TEXT, hours TEXT, names TEXT);
CREATE TABLE order_changes (order_id TEXT PRIMARY KEY, address TEXT, status TEXT, refund TEXT,
    refund_day INTEGER);
CREATE TABLE services (number TEXT PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL,
    customer TEXT NOT NULL, detail TEXT NOT NULL, day TEXT NOT NULL, UNIQUE (kind, key));
CREATE TABLE wrong_answers (order_id TEXT, day TEXT, count INTEGER, PRIMARY KEY (order_id, day));
"""
ORDERS = """
SELECT o.id, o.customer, o.items, o.total, o.carrier, o.placed_day, o.eta_day, o.delivered_day,
    coalesce(c.address, o.address) AS address, coalesce(c.status, o.status) AS status,
    coalesce(c.refund, o.refund) AS refund, coalesce(c.refund_day, o.refund_day) AS refund_day,
    p.phone AS phone
FROM orders o LEFT JOIN order_changes c ON c.order_id = o.id
    LEFT JOIN customers p ON p.id = o.customer
"""
PREFIXES = {"return": "RT", "exchange": "EX", "invoice": "INV", "complaint": "TK"}
"""What the numbers of each kind of service begin with."""
