"""`procrastinate_worker.py URL JOBS CONCURRENCY BODY`, in the peers' own environment: queues no-op jobs, works them off, prints JSON."""

import asyncio
import json
import sys
import time

from procrastinate import App, PsycopgConnector


async def main() -> None:
    url, jobs, concurrency, body = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
    app = App(connector=PsycopgConnector(conninfo=url, min_size=2, max_size=concurrency + 5))
    done = 0

    @app.task(name="noop")
    async def noop(**_: object) -> None:
        nonlocal done
        done += 1

    async with app.open_async():
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()
        await app.connector.execute_query_async("TRUNCATE procrastinate_jobs CASCADE")
        await noop.batch_defer_async(*[{**body, "n": n} for n in range(jobs)])
        await app.connector.execute_query_async("ANALYZE procrastinate_jobs")
        start = time.perf_counter()
        await app.run_worker_async(concurrency=concurrency, wait=False, install_signal_handlers=False)
        print(json.dumps({"count": done, "seconds": time.perf_counter() - start}))


asyncio.run(main())
