"""What a reader of states is owed."""

import asyncio
import json
import uuid

from bridge.stream.database import StateStart
from bridge.stream.login import Login
from bridge.stream.metrics import Counts
from bridge.stream.sinks import EventSource
from bridge.stream.states import MOST_OWED, Item, Watch


def watching(sink: EventSource, stream: str) -> Watch:
    start = StateStart(1, None, is_gap=False, topic_filter=None, device=None, integrations=None, free=1)
    return Watch(sink, "", stream, Login("authenticated", None, None), [start], Counts())


def items(ids: list[uuid.UUID], n: int) -> list[Item]:
    return [Item(id_, None, json.dumps({"id": str(id_), "n": n})) for id_ in ids]


def test_a_slow_reader_gets_the_newest_of_each() -> None:
    async def read() -> tuple[dict[str, int], int]:
        sink = EventSource()
        watch = watching(sink, "presence")
        ids = [uuid.uuid4() for _ in range(5000)]
        watch.owe(1, items(ids, 1))
        work = asyncio.create_task(watch.work())
        seen: dict[str, int] = {}
        count = 0
        while len(seen) < len(ids) or set(seen.values()) != {2}:
            for frame in await sink.take():
                row = json.loads(frame.split(b"data: ")[1])
                seen[row["id"]] = row["n"]
                count += 1
            # Now the buffer is full of the first ones.
            watch.owe(1, items(ids, 2) if count < len(ids) and 2 not in seen.values() else [])
        work.cancel()
        return seen, count

    seen, count = asyncio.run(read())
    assert len(seen) == 5000
    assert count < 10_000


def test_receipts_that_nobody_takes_are_a_gap() -> None:
    async def fill() -> list[bytes]:
        sink = EventSource()
        watch = watching(sink, "receipts")
        watch.owe(1, items([uuid.uuid4() for _ in range(MOST_OWED + 1)], 1))
        return await sink.take()

    (gap,) = asyncio.run(fill())
    assert json.loads(gap.split(b"data: ")[1]) == {"reason": "slow_reader", "lost": True}
