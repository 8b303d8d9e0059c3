"""paho's clients, as tests use them."""

import contextlib

import paho.mqtt.client as mqtt


def disconnect(client: mqtt.Client) -> None:
    """Disconnects, and waits for the client's thread."""
    client.disconnect()
    with contextlib.suppress(AttributeError):  # its thread ended just now (paho.mqtt.python#872)
        client.loop_stop()
