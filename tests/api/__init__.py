"""The API over HTTP, as its callers see it."""
