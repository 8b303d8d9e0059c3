"""What the tests share: stacks of their own, callers of the API, and waiting."""
