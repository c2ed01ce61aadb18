"""The central server: records of the fleet, its figures and its handoff inbox."""
