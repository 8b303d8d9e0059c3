-- What brokers deliver is in the history at once where nothing has to be found out about it, as the worker would have stored it; else it waits in the queue.
\ir setup.psql
SELECT plan(30);
SELECT function_privs_are('mqtt', 'store_delivered', ARRAY['uuid[]', 'uuid[]', 'integer[]', 'text[]', 'bytea[]', 'smallint[]', 'boolean[]'], 'mqtt_bridge', ARRAY[]::text []);
CREATE OR REPLACE FUNCTION mqtt.fewest_stored() RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 1';
\set bridge 'aaaaaaaa-0000-4000-8000-000000000002'
DELETE FROM mqtt.bridges;
INSERT INTO mqtt.bridges (id, name, version, main_pid) VALUES (:'bridge', 'host:2', '1', 1);
INSERT INTO mqtt.bridge_leases (organization_id, integration_id, bridge_id)
VALUES (:'org_alice', :'hosted', :'bridge'), (:'org_alice', :'external', :'bridge'), (:'org_bob', :'bob_hosted', :'bridge');

-- numbers: which of the three each came for; typed: with a content type (none), which is the way through the queue.
CREATE FUNCTION tap.deliver(topics text [], payloads bytea [], numbers integer [], is_queued boolean DEFAULT false, retains boolean [] DEFAULT NULL) RETURNS jsonb
LANGUAGE sql AS $$
    SELECT bridge.ingest(
        'aaaaaaaa-0000-4000-8000-000000000002', array_agg(l.integration_id ORDER BY i.name COLLATE "C", l.organization_id), numbers, topics, payloads,
        array_fill(1::smallint, ARRAY[cardinality(topics)]), coalesce(retains, array_fill(false, ARRAY[cardinality(topics)])),
        content_types => CASE WHEN is_queued THEN array_fill(NULL::text, ARRAY[cardinality(topics)]) END
    )
    FROM mqtt.bridge_leases AS l INNER JOIN mqtt.device_integrations AS i ON i.id = l.integration_id;
$$;
SELECT array_agg(l.integration_id ORDER BY i.name COLLATE "C", l.organization_id)::text AS held, array_position(array_agg(l.integration_id ORDER BY i.name COLLATE "C", l.organization_id), :'hosted') AS hosted_n,
    array_position(array_agg(l.integration_id ORDER BY i.name COLLATE "C", l.organization_id), :'bob_hosted') AS bob_n
FROM mqtt.bridge_leases AS l INNER JOIN mqtt.device_integrations AS i ON i.id = l.integration_id \gset
CREATE FUNCTION tap.sent(payloads text [], is_queued boolean DEFAULT false, topic text DEFAULT 'org_alice/devices/meter/telemetry') RETURNS jsonb
LANGUAGE sql AS $$
    SELECT tap.deliver(
        array_fill(topic, ARRAY[cardinality(payloads)]), ARRAY(SELECT convert_to(p, 'UTF8') FROM unnest(payloads) WITH ORDINALITY AS u (p, n) ORDER BY n),
        array_fill(current_setting('tap.hosted')::integer, ARRAY[cardinality(payloads)]), is_queued
    );
$$;
SELECT set_config('tap.hosted', :'hosted_n', true) \g /dev/null
CREATE VIEW tap.queue AS
SELECT q.organization IS NOT NULL AS is_item, q.message_count, q.integration_id FROM pgmq.q_mqtt_messages AS q ORDER BY q.msg_id;

SELECT is(tap.sent('{1,2}') ->> 'queued', '2', 'messages to a new topic are accepted');
SELECT results_eq('SELECT is_item, message_count FROM tap.queue', 'VALUES (false, 1), (false, 1)', 'and wait in the queue');
SELECT is(mqtt.process_batch() ->> 'processed', '2', 'the worker stores them');
SELECT is(tap.sent('{3,4,5}') ->> 'queued', '3', 'further ones are accepted');
SELECT results_eq('SELECT is_item, message_count FROM tap.queue', 'VALUES (true, 3)', 'and one item stands for them');
SELECT results_eq(
    $$SELECT m.payload::integer, mqtt.is_pending(m.position) FROM mqtt.mqtt_messages AS m WHERE m.topic LIKE '%/meter/%' ORDER BY m.received_at, m.position$$,
    'VALUES (1, false), (2, false), (3, true), (4, true), (5, true)', 'as the history has them'
);
SELECT ok(bool_and(x.id > x.earlier), 'their ids are in their order')
FROM (SELECT m.id, lag(m.id) OVER (ORDER BY m.position) AS earlier FROM mqtt.mqtt_messages AS m WHERE mqtt.is_pending(m.position)) AS x;
SELECT is(mqtt.process_batch() ->> 'processed', '3', 'the worker makes their effects');
SELECT is((SELECT d.last_data FROM mqtt.devices AS d WHERE d.external_id = 'meter'), '5', 'the device has the last');
SELECT results_eq(
    $$SELECT sum(l.accepted)::integer, sum(l.completed)::integer FROM mqtt.ledger AS l WHERE l.organization_id = '11111111-0000-4000-8000-000000000001'$$,
    'VALUES (5, 5)', 'the ledger adds up'
);

-- The same, whichever way they went.
CREATE TABLE tap.payloads AS SELECT p.payload, p.n
FROM unnest(ARRAY['{"a": 1, "b": [1, {"c": null}]}', 'ON', '21.5 °C', '{"a": 1e3}', 'null', '[]', format('{"ts": %s, "a": 2}', floor(date_part('epoch', now())))]) WITH ORDINALITY AS p (payload, n);
SELECT tap.sent(ARRAY(SELECT p.payload FROM tap.payloads AS p ORDER BY p.n)) \g /dev/null
SELECT results_eq('SELECT is_item, message_count FROM tap.queue', 'VALUES (true, 7)', 'JSON, text, and times of the device are stored at once');
SELECT mqtt.process_batch() \g /dev/null
SELECT mqtt.latest_of(d)::text AS latest, d.last_data::text AS last_data FROM mqtt.devices AS d WHERE d.external_id = 'meter' \gset
SELECT max(m.position) AS until FROM mqtt.mqtt_messages AS m WHERE m.topic LIKE '%/meter/%' \gset
SELECT tap.sent(ARRAY(SELECT p.payload FROM tap.payloads AS p ORDER BY p.n), true) \g /dev/null
SELECT is((SELECT count(*) FROM tap.queue WHERE NOT is_item), 7::bigint, 'the others wait');
SELECT mqtt.process_batch() \g /dev/null
SELECT set_eq(
    format($$SELECT payload, body, content_type, decode_error, sent_at, measured_at, qos, retain, device_id, n FROM (
        SELECT m.*, row_number() OVER (ORDER BY position) AS n FROM mqtt.mqtt_messages AS m WHERE topic LIKE '%%/meter/%%' AND position > %s) AS x$$, :until),
    format($$SELECT payload, body, content_type, decode_error, sent_at, measured_at, qos, retain, device_id, 8 - n FROM (
        SELECT m.*, row_number() OVER (ORDER BY position DESC) AS n FROM mqtt.mqtt_messages AS m WHERE topic LIKE '%%/meter/%%' AND position <= %s) AS x WHERE n <= 7$$, :until),
    'and the history has the same of both'
);
SELECT is((SELECT ROW(mqtt.latest_of(d), d.last_data)::text FROM mqtt.devices AS d WHERE d.external_id = 'meter'), ROW(:'latest'::jsonb, :'last_data'::jsonb)::text, 'as has the device');

-- What the worker has to find out goes through the queue: all of an integration, whose order stays, and nobody else's.
SELECT tap.deliver(ARRAY['org_bob/devices/pump/telemetry'], ARRAY['1'::bytea], ARRAY[:bob_n]) \g /dev/null
SELECT mqtt.process_batch() \g /dev/null
SELECT is(
    tap.deliver(
        array_fill('org_alice/devices/meter/telemetry'::text, ARRAY[2]) || 'org_bob/devices/pump/telemetry'::text, ARRAY['1', p.odd, '2']::bytea [],
        ARRAY[:hosted_n, :hosted_n, :bob_n]
    ) ->> 'queued', '3', format('%s is accepted', p.name)
)
FROM (VALUES ('\xff'::bytea, 'what is not text'), ('"x"', 'a string with its quotes'), ('', 'an empty payload'), ('{"ts": 1771502400}', 'an old time')) AS p (odd, name);
SELECT results_eq(
    'SELECT is_item, message_count, count(*)::integer FROM tap.queue GROUP BY is_item, message_count, integration_id ORDER BY is_item',
    'VALUES (false, 1, 8), (true, 1, 4)', 'each took the rest of its integration through the queue, and not the neighbour''s'
);
SELECT is(mqtt.process_batch() ->> 'processed', '12', 'the worker makes the effects of all');
SELECT results_eq(
    $$SELECT body, content_type FROM mqtt.mqtt_messages WHERE topic LIKE '%/meter/%' ORDER BY received_at DESC, position DESC LIMIT 8$$,
    $$VALUES (NULL::bytea, NULL::text), (NULL, NULL), (NULL, NULL), (NULL, NULL), (NULL, 'application/json'), (NULL, NULL), ('\xff', NULL), (NULL, NULL)$$,
    'which keeps what is told by bytes alone'
);
UPDATE mqtt.device_integrations SET settings = settings || '{"content_type": "text/plain"}' WHERE id = :'hosted';
SELECT tap.sent('{6}') \g /dev/null
SELECT is((SELECT array_agg(is_item) FROM tap.queue), '{false}', 'so does a content type of the integration');
SELECT mqtt.process_batch() IS NOT NULL AS done \gset

-- A message that fails becomes a dead letter with the bytes that came, and is marked in the history.
UPDATE mqtt.device_integrations SET settings = settings - 'content_type' || '{"max_attempts": 1}' WHERE id = :'hosted';
SELECT tap.sent('{7}') IS NOT NULL AS done \gset
SELECT mqtt.record_failure(q.ctid, 'XX000', 'a fault') IS NOT NULL AS done FROM pgmq.q_mqtt_messages AS q \gset
SELECT results_eq(
    $$SELECT d.body, d.message ? 'payload', d.message -> 'qos', d.credential_id IS NULL, m.is_failed FROM mqtt.mqtt_dead_letters AS d INNER JOIN mqtt.mqtt_messages AS m ON m.id = d.id WHERE d.direction = 'incoming'$$,
    $$VALUES ('7'::bytea, false, '1'::jsonb, true, true)$$, 'a failed one is a dead letter, and marked in the history'
);
DELETE FROM mqtt.mqtt_dead_letters;
SELECT tap.sent(ARRAY['{"b":1,  "a":2}', '{"b":1, "b":3}', '{ }']) IS NOT NULL AS done \gset
SELECT results_eq('SELECT is_item, message_count FROM tap.queue', 'VALUES (true, 3)', 'spaces, order and equal keys are kept beside what is stored');
SELECT mqtt.split_items(ARRAY(SELECT q.ctid FROM pgmq.q_mqtt_messages AS q)) IS NOT NULL AS done \gset
SELECT is((SELECT array_agg(q.bodies ORDER BY q.msg_id) FROM pgmq.q_mqtt_messages AS q), ARRAY[ARRAY['{"b":1,  "a":2}'], ARRAY['{"b":1, "b":3}'], ARRAY['{ }']]::bytea [] [], 'by each message that is split off');
SELECT count(mqtt.record_failure(q.ctid, 'XX000', 'a fault')) AS done FROM pgmq.q_mqtt_messages AS q \gset
SELECT set_eq('SELECT convert_from(d.body, ''UTF8'') FROM mqtt.mqtt_dead_letters AS d', $$VALUES ('{"b":1,  "a":2}'), ('{"b":1, "b":3}'), ('{ }')$$, 'and by its dead letter');
SELECT act_as('service_role');
SELECT is(api.replay_mqtt_dead_letters(:'org_alice') ->> 'replayed', '3', 'a replay');
SELECT act_as('none');
SELECT set_eq('SELECT convert_from(q.bodies[1], ''UTF8'') FROM pgmq.q_mqtt_messages AS q', $$VALUES ('{"b":1,  "a":2}'), ('{"b":1, "b":3}'), ('{ }')$$, 'has them again');
SELECT set_config('topicbase.queue_memory', '', false) \g /dev/null
SELECT is(mqtt.process_batch() ->> 'processed', '3', 'and makes their effects');
SELECT * FROM finish();
ROLLBACK;
