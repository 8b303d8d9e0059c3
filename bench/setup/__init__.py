"""Peers, tenants, messages and histories: what a measurement finds when it begins."""
