"""The database's side: its calls, and the connections and threads that make them. It does not know about brokers."""
