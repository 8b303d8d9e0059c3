"""Every answer that a test's client gets is held against the OpenAPI document that the same API serves."""

import re
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonschema_rs
import requests

# By scheme, host and port: makes a token that is shown every call.
_tokens: dict[str, Callable[[], str]] = {}


def know(token: Callable[[], str], *urls: str) -> None:
    """From now on, check what clients of these URLs are answered."""
    for url in urls:
        _tokens[url] = token


@cache
def document(url: str) -> dict[str, Any]:
    """The document of the API at this URL, with all its calls."""
    answer = requests.get(f"{url}/", headers={"Authorization": f"Bearer {_tokens[urlsplit(url)._replace(path='').geturl()]()}"}, timeout=70)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    assert found["openapi"] == "3.1.0", found
    return found


@cache
def _validator(url: str, path: str, method: str, status: int) -> Any:
    """Of the answer with that status; None where the document has no such answer."""
    found = document(url)
    answers = found["paths"].get(path, {}).get(method, {}).get("responses", {"default": {"$ref": "#/components/responses/Error"}})
    if status == 206 and "206" not in answers:  # a page of rows that were counted
        status = 200
    answer = answers.get(str(status), answers["default"] if status >= 400 else None)
    if answer is None:
        return None
    if "$ref" in answer:
        answer = found["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    schema = answer["content"].get("application/json", {}).get("schema")
    return schema and jsonschema_rs.Draft202012Validator({**schema, "components": found["components"]}, validate_formats=True)


def check(response: requests.Response, *_: Any, **__: Any) -> None:
    """A hook of a client's session: raises AssertionError for an answer that the document does not allow."""
    asked = response.request
    parts = urlsplit(str(asked.url))
    origin = parts._replace(path="", query="").geturl()
    match = re.fullmatch(r"(/rest/v1)?(/rpc/\w+|/\w+)", parts.path)
    if origin not in _tokens or match is None or asked.method not in {"GET", "POST"}:
        return
    if not response.content or not response.headers.get("Content-Type", "").startswith("application/json"):
        return
    if "select" in parse_qs(parts.query):  # which leaves columns out
        return
    validator = _validator(origin + (match[1] or ""), match[2], asked.method.lower(), response.status_code)
    where = f"{asked.method} {match[2]}: {response.status_code} {response.text[:1000]}"
    assert validator is not None, f"not in the document: {where}"
    for error in validator.iter_errors(response.json()):
        raise AssertionError(f"not as the document says: {error.message} at {list(error.instance_path)}: {where}")
