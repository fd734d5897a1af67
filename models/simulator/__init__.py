"""Cycle-approximate simulator of the system, its baselines, and what is built on them."""
