"""The gateway: the replaced system's URLs, headers and commands."""
