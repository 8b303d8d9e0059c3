// Runs in the peers' own environment: `graphile_worker.mjs URL JOBS BODY` queues no-op jobs, runs them, prints JSON.
// The settings are those of Graphile Worker's own page on performance.
import { createRequire } from "node:module";
import { performance } from "node:perf_hooks";
const require = createRequire(process.env.PEERS + "/");
const { run, makeWorkerUtils, Logger } = require("graphile-worker");
const { Pool } = require("pg");

const [url, jobs, body] = [process.argv[2], Number(process.argv[3]), JSON.parse(process.argv[4])];
const utils = await makeWorkerUtils({ connectionString: url });
await utils.migrate();
await utils.release();
const pool = new Pool({ connectionString: url, max: 1 });
await pool.query("TRUNCATE graphile_worker._private_jobs");
const added = performance.now();
await pool.query(
  `SELECT count(*) FROM graphile_worker.add_jobs(ARRAY(
     SELECT json_populate_record(NULL::graphile_worker.job_spec, json_build_object('identifier', 'noop', 'payload', $1::json))
     FROM generate_series(1, $2)))`,
  [JSON.stringify(body), jobs],
);
const adding = (performance.now() - added) / 1000;
await pool.query("ANALYZE graphile_worker._private_jobs");

// seconds: from the first task's start to the last one's end: starting and stopping the worker is not included. adding: the call of add_jobs.
let done = 0;
let start = 0;
let end = 0;
let finish;
const finished = new Promise((resolve) => (finish = resolve));
const latencies = []; // of one job in fifty: from being fetched, by the server's clock, to having run
const noop = async (_, { job }) => {
  if (done === 0) start = performance.now();
  if (done % 50 === 0) latencies.push((Date.now() - job.locked_at.getTime()) / 1000);
  if (++done === jobs) {
    end = performance.now();
    finish();
  }
};
const runner = await run({
  preset: {
    worker: {
      connectionString: url,
      concurrentJobs: 24,
      maxPoolSize: 25,
      localQueue: { size: 500 },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
      logger: new Logger(() => () => {}),
    },
  },
  noHandleSignals: true,
  taskList: { noop },
});
await finished;
await runner.stop();
const left = await pool.query("SELECT count(*)::int AS n FROM graphile_worker._private_jobs");
if (left.rows[0].n !== 0) throw new Error(`${left.rows[0].n} jobs left`);
await pool.end();
console.log(JSON.stringify({ count: done, adding, seconds: (end - start) / 1000, latencies }));
process.exit(0);
