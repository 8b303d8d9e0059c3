"""Devices: each sends one kind of reading in its own way, and counts the answers to its messages."""
