"""Client of Topicbase: calls of its API, pages of rows, the live stream, webhooks, and devices that send."""

from topicbase_client.buffer import BufferFullError
from topicbase_client.client import AsyncTopicbase, Topicbase
from topicbase_client.device import Device
from topicbase_client.errors import TopicbaseError
from topicbase_client.live import AsyncLive, Event, Live
from topicbase_client.webhooks import WebhookError, verify_webhook

__all__ = [
    "AsyncLive",
    "AsyncTopicbase",
    "BufferFullError",
    "Device",
    "Event",
    "Live",
    "Topicbase",
    "TopicbaseError",
    "WebhookError",
    "verify_webhook",
]
