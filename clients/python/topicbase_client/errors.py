"""What the API refused, or could not be asked."""

from typing import Any

import httpx


class TopicbaseError(Exception):
    """`status` is 0 where there was no answer.

    `slug` is for programs, such as `device_not_found`: docs/reference/errors.md lists those of the API; `unreachable` says that there was
    no answer, `answer_invalid` that it was not the API's. `detail` and `hint` are for people; `retry_after` is in seconds.
    """

    def __init__(
        self, status: int, slug: str, detail: str | None = None, hint: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(": ".join(part for part in (slug, detail, hint) if part))
        self.status, self.slug, self.detail, self.hint, self.retry_after = status, slug, detail, hint, retry_after


def unreachable(error: httpx.HTTPError) -> TopicbaseError:
    return TopicbaseError(0, "unreachable", f"{type(error).__name__}: {error}", "Try again; a message_id makes a repeat safe.")


def answer_of(response: httpx.Response) -> Any:
    """The JSON of an answer; raises TopicbaseError for a refusal, and for what is not an answer of the API."""
    try:
        body, is_json = response.json(), True
    except ValueError:
        body, is_json = None, not response.content
    if response.is_success and is_json:
        return body
    if response.is_success:
        body = {
            "message": "answer_invalid",
            "details": f"Status {response.status_code} without JSON.",
            "hint": "Is the URL that of the API?",
        }
    elif not (isinstance(body, dict) and isinstance(body.get("message"), str)):
        body = {"message": "answer_invalid", "details": f"Status {response.status_code} without an error of the API."}
    after = response.headers.get("Retry-After", "")
    raise TopicbaseError(
        response.status_code, body["message"], body.get("details"), body.get("hint"), float(after) if after.isdecimal() else None
    )
