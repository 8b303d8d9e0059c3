"""Devices: each sends one kind of reading in its own way, and counts what it is told became of every message."""
