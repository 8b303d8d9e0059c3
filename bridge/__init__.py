"""The bridge of Topicbase: it holds the sockets between PostgreSQL and MQTT brokers, and moves bytes.

What to do is decided by the functions in the database's schema `bridge`.
"""

__version__ = "0.1.2"
SCHEMA_VERSION = 1
