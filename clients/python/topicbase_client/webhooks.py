"""Verifying webhooks: Standard Webhooks, symmetric."""

import base64
import binascii
import hmac
import json
import re
import time
from collections.abc import Mapping
from typing import Any


class WebhookError(Exception):
    """The request is not one that Topicbase signed just now."""


def verify_webhook(secret: str, headers: Mapping[str, str], body: bytes | str, *, tolerance: float = 300.0) -> dict[str, Any]:
    """The message of a webhook whose signature is right; raises WebhookError otherwise.

    `secret` is `whsec_…`, as `mqtt_subscribe` showed it; `body` is the request's as it came, before any parsing; `tolerance` is how many
    seconds `webhook-timestamp` may differ from now.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    try:
        identity, timestamp, signatures = (lower[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
    except KeyError as error:
        raise WebhookError(f"The request has no {error.args[0]}.") from None
    if not re.fullmatch(r"[0-9]{1,15}", timestamp) or abs(time.time() - int(timestamp)) > tolerance:
        raise WebhookError("The webhook-timestamp is not of now.")
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if not key:
        raise WebhookError("The secret is not whsec_ and base64.")
    content = body.encode() if isinstance(body, str) else body
    expected = b"v1," + base64.b64encode(hmac.digest(key, f"{identity}.{timestamp}.".encode() + content, "sha256"))
    # Several while a secret is being rotated; each is compared in constant time.
    if not any(hmac.compare_digest(expected, signature.encode()) for signature in signatures.split(" ")):
        raise WebhookError("None of the signatures is right.")
    message: dict[str, Any] = json.loads(content)
    return message
