"""The brokers' side: sockets, MQTT's packets, and the links that keep integrations connected. It knows nothing of the database."""
