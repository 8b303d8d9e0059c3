-- What ingest and the queue worker are measured against. For the benchmark's own throw-away database only.
SET client_min_messages = warning;

-- The HTTP limit: a call that does nothing.
CREATE FUNCTION api.bench_noop(topic text, payload json) RETURNS json
LANGUAGE sql VOLATILE
AS $$
    SELECT '{"status": "queued"}'::json;
$$;

-- pgmq.send over PostgREST, word for word as Supabase Queues wraps it (pgmq_public.send).
CREATE FUNCTION api.bench_pgmq_send(queue_name text, message jsonb, sleep_seconds integer DEFAULT 0) RETURNS SETOF bigint
LANGUAGE plpgsql
SET search_path = ''
AS $$
BEGIN
    RETURN QUERY
    SELECT * FROM pgmq.send(queue_name := queue_name, msg := message, delay := sleep_seconds);
END;
$$;

-- The least that stores a message: one plain INSERT, planned once in each session.
CREATE TABLE pgmq.bench_plain (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, received_at timestamptz NOT NULL DEFAULT now(), topic text NOT NULL, payload jsonb NOT NULL
);
CREATE FUNCTION api.bench_insert(topic text, payload json) RETURNS json
LANGUAGE plpgsql VOLATILE
SET search_path = ''
AS $$
BEGIN
    INSERT INTO pgmq.bench_plain (topic, payload) VALUES (bench_insert.topic, bench_insert.payload);
    RETURN '{"status": "queued"}';
END;
$$;

SELECT pgmq.create('bench_send');
SELECT pgmq.create('bench_floor');
GRANT USAGE ON SCHEMA pgmq TO anon;
GRANT ALL ON pgmq.q_bench_send, pgmq.q_bench_floor, pgmq.a_bench_floor, pgmq.bench_plain TO anon;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA pgmq TO anon;
GRANT SELECT ON pgmq.meta TO anon;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pgmq TO anon;
GRANT EXECUTE ON FUNCTION api.bench_noop(text, json), api.bench_insert(text, json), api.bench_pgmq_send(text, jsonb, integer) TO anon;
NOTIFY pgrst, 'reload schema';
