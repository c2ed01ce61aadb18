"""Better models down: signed by The Update Framework, verified, tried, and taken back if worse."""
