"""The threads that move messages between database and brokers, each with a database connection of its own."""
