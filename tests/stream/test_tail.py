"""`topicbase tail` from the stream."""

import json
import os
import subprocess

from tests.stream.support import settle
from tests.support.stack import ROOT
from tests.support.tenant import Tenant


def test_tail_follows_the_stream(home: Tenant) -> None:
    settle(home, ["before"])
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONUNBUFFERED": "1",
        "TOPICBASE_API_URL": home.stack.api_url,
        "TOPICBASE_STREAM_URL": home.stack.env["STREAM_URL"],
        "TOPICBASE_TOKEN": home.member,
    }
    command = [str(ROOT / ".venv/bin/topicbase"), "tail", "--json", "--direction", "incoming", f"org_{home.slug}/devices/+/telemetry"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        # The backlog comes once the stream has begun.
        assert json.loads(tail.stdout.readline())["payload"] == "before"
        settle(home, ["elsewhere"], topic="devices/d1/status")
        settle(home, ["after"])
        assert json.loads(tail.stdout.readline())["payload"] == "after"
        tail.terminate()
        assert tail.stderr.read() == ""
