"""Faults, one by one, against real processes, with an oracle outside the product."""
