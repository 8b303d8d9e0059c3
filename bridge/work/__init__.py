"""What moves messages between the two sides: each a thread with a connection of its own."""
