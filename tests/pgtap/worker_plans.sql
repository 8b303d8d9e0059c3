-- The worker, and what stores batches at once, keep their plans for as long as a session lasts: made while tables were empty, they find rows by key once these are full.
-- What each step reads is counted by table: rows of a scan, entries of its indexes.
\ir setup.psql
CREATE OR REPLACE FUNCTION mqtt.fewest_stored() RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 1';
SELECT set_config('tap.login', jsonb_build_object('x-username', 'pump_login', 'x-password', :'pump_password', 'x-client-id', 'pump_login_1')::text, true) \g /dev/null
\set bridge 'aaaaaaaa-0000-4000-8000-000000000003'
DELETE FROM mqtt.bridges;
INSERT INTO mqtt.bridges (id, name, version, main_pid) VALUES (:'bridge', 'host:3', '1', 1);
INSERT INTO mqtt.bridge_leases (organization_id, integration_id, bridge_id) VALUES (:'org_alice', :'hosted', :'bridge');
INSERT INTO mqtt.mqtt_subscriptions (organization_id, integration_id, topic, callback_url) VALUES (:'org_alice', :'hosted', 'org_alice/devices/+/hooked', 'https://receiver.example/');

CREATE FUNCTION tap.topics(numbers integer [], message_type text) RETURNS text []
LANGUAGE sql AS $$
    SELECT array_agg(format('org_alice/devices/d%s/%s', n, message_type) ORDER BY n) FROM unnest(numbers) AS n;
$$;
CREATE FUNCTION tap.work() RETURNS void
LANGUAGE sql AS $$
    SELECT set_config('topicbase.deferral_looked_at', clock_timestamp()::text, false);
    SELECT mqtt.process_batch();
$$;
-- The ways that messages go, each for some devices.
CREATE FUNCTION tap.send_singles(numbers integer [], message_type text DEFAULT 'telemetry') RETURNS void
LANGUAGE sql AS $$
    SELECT mqtt.count_accepted(c.organization_id, cardinality(numbers)) FROM mqtt.mqtt_credentials AS c WHERE c.username = 'pump_login';
    INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id, credential_id)
    SELECT clock_timestamp(), jsonb_build_object('topic', t, 'payload', 1), c.organization_id, c.integration_id, c.id
    FROM mqtt.mqtt_credentials AS c, unnest(tap.topics(numbers, message_type)) AS t
    WHERE c.username = 'pump_login';
    SELECT tap.work();
$$;
CREATE FUNCTION tap.send_batch(numbers integer []) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tap.act_as('anon', NULL, current_setting('tap.login')::jsonb);
    PERFORM api.mqtt_ingest_batch((SELECT json_agg(json_build_object('topic', t, 'payload', 2)) FROM unnest(tap.topics(numbers, 'telemetry')) AS t));
    PERFORM tap.act_as('none'), tap.work();
END;
$$;
CREATE FUNCTION tap.deliver(numbers integer [], message_type text DEFAULT 'telemetry') RETURNS void
LANGUAGE sql AS $$
    SELECT bridge.ingest(
        'aaaaaaaa-0000-4000-8000-000000000003', ARRAY[l.integration_id], array_fill(1, ARRAY[cardinality(numbers)]), tap.topics(numbers, message_type),
        array_fill('3'::bytea, ARRAY[cardinality(numbers)]), array_fill(1::smallint, ARRAY[cardinality(numbers)]),
        array_fill(false, ARRAY[cardinality(numbers)])
    )
    FROM mqtt.bridge_leases AS l;
    SELECT tap.work();
$$;
CREATE FUNCTION tap.hook(numbers integer []) RETURNS void
LANGUAGE sql AS $$
    SELECT tap.send_singles(numbers, 'hooked'), tap.deliver(numbers, 'hooked');
$$;
CREATE TABLE tap.steps (name text, call text);
INSERT INTO tap.steps VALUES
('single messages', 'send_singles(%L)'), ('a batch over HTTP', 'send_batch(%L)'), ('what a broker delivers', 'deliver(%L)'),
('webhooks', 'hook(%L)');

CREATE FUNCTION tap.rows_read() RETURNS TABLE (relation text, n bigint)
LANGUAGE sql AS $$
    SELECT coalesce(i.indrelid, c.oid)::regclass::text, sum(pg_stat_get_xact_tuples_returned(c.oid))::bigint
    FROM pg_class AS c
    LEFT JOIN pg_index AS i ON i.indexrelid = c.oid
    WHERE c.relnamespace::regnamespace::text IN ('mqtt', 'pgmq') AND c.relkind IN ('r', 'i')
    GROUP BY 1;
$$;
-- The tables of which a step for these devices reads more than so many rows.
CREATE FUNCTION tap.read_whole(call text, numbers integer [], most integer) RETURNS TABLE (relation text, n bigint)
LANGUAGE plpgsql AS $$
BEGIN
    CREATE TEMP TABLE before ON COMMIT DROP AS SELECT * FROM tap.rows_read();
    EXECUTE format('SELECT tap.' || call, numbers);
    RETURN QUERY SELECT r.relation, r.n - b.n FROM tap.rows_read() AS r JOIN before AS b USING (relation) WHERE r.n - b.n > CASE WHEN r.relation LIKE 'pgmq.%' THEN 7500 ELSE most END;
    DROP TABLE before;
END;
$$;

SELECT plan((SELECT count(*)::integer * 2 FROM tap.steps));
-- As an installation is on its first day.
DO $$
DECLARE
    v_table regclass;
BEGIN
    FOR v_table IN SELECT c.oid FROM pg_class AS c WHERE c.relnamespace::regnamespace::text IN ('mqtt', 'pgmq') AND c.relkind = 'r' LOOP
        EXECUTE format('ANALYZE %s', v_table);
    END LOOP;
END;
$$;
SELECT lives_ok(format('SELECT tap.%s FROM generate_series(1, 2)', format(s.call, '{1}')), 'first day: ' || s.name) FROM tap.steps AS s;
-- And later, no statistics having been gathered since.
INSERT INTO mqtt.devices (organization_id, integration_id, external_id) SELECT :'org_alice', :'hosted', 'd' || n FROM generate_series(2, 3000) AS n;
INSERT INTO mqtt.topics (organization_id, number, integration_id, device_id, role, topic, message_type, external_id, is_current)
SELECT d.organization_id, nextval('mqtt.topic_numbers'), d.integration_id, d.id, 'telemetry', format('org_alice/devices/%s/%s', d.external_id, m), m, d.external_id, true
FROM mqtt.devices AS d, unnest('{telemetry,hooked}'::text []) AS m
WHERE d.external_id ~ '^d\d\d';
INSERT INTO mqtt.mqtt_credentials (
    organization_id, integration_id, username, client_id, topic_prefix, secret_salt, secret_hash, mosquitto_hash, bcrypt_hash
)
SELECT organization_id, integration_id, 'login_' || n, 'client_' || n, topic_prefix, secret_salt, secret_hash, mosquitto_hash, bcrypt_hash
FROM mqtt.mqtt_credentials, generate_series(1, 3000) AS n
WHERE username = 'pump_login';
INSERT INTO pgmq.q_mqtt_messages (vt, organization_id, integration_id, message_count, organization)
SELECT clock_timestamp() + interval '1 hour', o.id, :'hosted', 1, o.number FROM mqtt.organizations AS o, generate_series(1, 8000) WHERE o.id = :'org_alice';
-- More than the entries of rows that are dead here, since all of it is one transaction.
SELECT is_empty(format('SELECT * FROM tap.read_whole(%L, ARRAY(SELECT generate_series(1001, 1020)), 2500)', s.call), 'reads by key: ' || s.name) FROM tap.steps AS s;
SELECT * FROM finish();
ROLLBACK;
