"""The brokers' side: sockets, MQTT's packets, and the links that keep integrations connected. It does not know about the database."""
