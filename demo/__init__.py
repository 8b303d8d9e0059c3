"""The demo: devices that send this machine's own readings, commands the other way, and a reconciliation at the end."""
