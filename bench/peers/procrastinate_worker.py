"""`procrastinate_worker.py URL JOBS CONCURRENCY BODY`, in the peers' own environment: queues no-op jobs, runs them, prints JSON."""

import asyncio
import json
import sys
import time

from procrastinate import App, PsycopgConnector

# procrastinate's own record of each job: fetched, and recorded as done.
TAKEN = """
SELECT extract(EPOCH FROM max(at) FILTER (WHERE type = 'succeeded') - max(at) FILTER (WHERE type = 'started')) AS seconds
FROM procrastinate_events WHERE type IN ('started', 'succeeded') GROUP BY job_id HAVING count(*) = 2
"""


async def main() -> None:
    url, jobs, concurrency, body = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
    app = App(connector=PsycopgConnector(conninfo=url, min_size=2, max_size=concurrency + 5))
    # The time is from the first task's start to the last one's end: starting and stopping the worker is not included.
    times: list[float] = []

    @app.task(name="noop")
    async def noop(**_: object) -> None:
        times.append(time.perf_counter())

    async with app.open_async():
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()
        await app.connector.execute_query_async("TRUNCATE procrastinate_jobs CASCADE")
        await noop.batch_defer_async(*[{**body, "n": n} for n in range(jobs)])
        await app.connector.execute_query_async("ANALYZE procrastinate_jobs")
        await app.run_worker_async(concurrency=concurrency, wait=False, install_signal_handlers=False)
        found = await app.connector.execute_query_all_async(TAKEN)
        print(json.dumps({"count": len(times), "seconds": times[-1] - times[0], "latencies": [float(row["seconds"]) for row in found]}))


asyncio.run(main())
