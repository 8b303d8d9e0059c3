-- Importing history: who may, what is stored, repeats, rejections, rollups and latest values, a staging table.
\ir setup.psql
SELECT plan(47);
SET LOCAL timezone = 'UTC';
CREATE FUNCTION tap.reading(at text, t numeric, device text DEFAULT 'pump', organization text DEFAULT 'alice') RETURNS jsonb
LANGUAGE sql AS $$
    SELECT jsonb_build_object('topic', format('org_%s/devices/%s/telemetry', organization, device), 'payload', jsonb_build_object('t', t), 'timestamp', at);
$$;
CREATE FUNCTION tap.import(VARIADIC messages jsonb []) RETURNS jsonb
LANGUAGE sql AS $$
    SELECT api.import_messages('11111111-0000-4000-8000-000000000010', to_json(messages));
$$;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA tap TO public;

-- Who may.
SELECT act_as('authenticated', :'anna');
SELECT refuses('SELECT import(reading(''2024-01-01T00:00:00Z'', 1))', 'PT403', 'admin_required', 'a member');
SELECT act_as('authenticated', :'bob');
SELECT refuses('SELECT import(reading(''2024-01-01T00:00:00Z'', 1))', 'PT404', 'integration_not_found', 'a stranger');
SELECT act_as('anon');
SELECT throws_ok('SELECT import(reading(''2024-01-01T00:00:00Z'', 1))', '42501', NULL, 'anyone else');
SELECT act_as('authenticated', :'alice');
SELECT refuses(format('SELECT api.import_messages(%L, ''[]'')', :'hosted'), 'PT400', 'messages_empty', 'nothing');
SELECT refuses(format('SELECT api.import_messages(%L, ''{}'')', :'hosted'), 'PT400', 'messages_invalid', 'no array');
SELECT refuses(format('SELECT api.import_messages(%L, ''[{"topic": "a", "payload": 1e400}]'')', :'hosted'), 'PT400', 'message_invalid', 'what no float holds');
SELECT refuses(
    format('SELECT api.import_messages(%L, %L)', :'hosted', format('[{"topic": "a", "payload": [%s1]}]', repeat('5e-324,', 201))), 'PT400', 'message_invalid', 'much longer when it is read'
);

-- Stored as received now, measured then.
SELECT is(
    import(reading('2024-01-01T00:10:00Z', 1), reading('2024-01-01T00:20:00Z', 2), reading('2025-06-01T12:00:00Z', 3, 'old')),
    '{"imported": 3, "repeated": 0, "rejected": []}', 'years ago'
);
SELECT act_as('none');
SELECT results_eq(
    'SELECT d.external_id, m.measured_at, m.sent_at, m.payload ->> ''t'', m.received_at > now(), m.created_at >= m.received_at FROM mqtt.mqtt_messages AS m JOIN mqtt.devices AS d ON d.id = m.device_id ORDER BY m.position',
    $$VALUES ('pump', '2024-01-01 00:10:00+00'::timestamptz, '2024-01-01 00:10:00+00'::timestamptz, '1', true, true),
        ('pump', '2024-01-01 00:20:00+00', '2024-01-01 00:20:00+00', '2', true, true), ('old', '2025-06-01 12:00:00+00', '2025-06-01 12:00:00+00', '3', true, true)$$, 'with its time, under its device'
);
SELECT results_eq(
    'SELECT external_id, last_data, last_data_at, mqtt.latest_of(d) -> ''t'', last_seen_at FROM mqtt.devices AS d WHERE organization_id = ''11111111-0000-4000-8000-000000000001'' ORDER BY external_id',
    $$VALUES ('old', '{"t": 3}'::jsonb, '2025-06-01 12:00:00+00'::timestamptz, '{"value": 3, "at": "2025-06-01T12:00:00+00:00"}'::jsonb, NULL::timestamptz),
        ('pump', '{"t": 2}', '2024-01-01 00:20:00+00', '{"value": 2, "at": "2024-01-01T00:20:00+00:00"}', NULL)$$, 'devices have it as their latest, and were not seen'
);
SELECT is_empty('SELECT * FROM mqtt.check_ledger()', 'the ledger adds up');
SELECT is((SELECT sum(accepted) FROM mqtt.ledger WHERE organization_id = :'org_alice'), 3::numeric, 'and counts them');
SELECT is_empty('SELECT FROM mqtt.mqtt_callback_deliveries', 'no webhook is called');

-- Again: the same.
SELECT act_as('authenticated', :'alice');
SELECT is(
    import(reading('2024-01-01T00:10:00Z', 1), reading('2024-01-01T00:10:00+00:00', 1), reading('2024-01-01T00:10:00Z', 1.5)),
    '{"imported": 1, "repeated": 2, "rejected": []}', 'equal messages are repeats'
);
SELECT is(import(reading('2024-01-01T00:30:00Z', 9) || jsonb_build_object('message_id', :'unknown')), '{"imported": 1, "repeated": 0, "rejected": []}', 'with an id');
SELECT is(import(reading('2024-01-01T00:31:00Z', 8) || jsonb_build_object('message_id', :'unknown')), '{"imported": 0, "repeated": 1, "rejected": []}', 'only once');
SELECT is((api.list_messages(id => :'unknown')).payload, '{"t": 9}', 'by which it is found');

-- What cannot be imported is said, the others are.
SELECT is(
    (SELECT jsonb_agg(r -> 'code' ORDER BY r -> 'index') FROM jsonb_array_elements(a -> 'rejected') AS r),
    '["timestamp_invalid", "timestamp_invalid", "timestamp_invalid", "topic_not_allowed", "topic_invalid", "payload_missing", "message_invalid", "message_id_invalid"]', 'each with its code'
) FROM (SELECT import(
    reading('2024-01-02T00:00:00Z', 5), reading('2024-01-01T00:00:00Z', 1) - 'timestamp', reading('yesterday', 1), reading((now() + interval '3 days')::text, 1), reading('2024-01-01T00:00:00Z', 1, 'x', 'bob'),
    '{"topic": "a/#", "payload": 1, "timestamp": 1577836800}', '{"topic": "a", "timestamp": 1577836800}', '{"topic": "a", "payload": 1, "timestamp": 1577836800, "x": 1}',
    '{"topic": "a", "payload": 1, "timestamp": 1577836800, "message_id": "x"}'
) AS a) AS x;
SELECT is(import(reading('2024-01-02T00:00:00Z', 5)) ->> 'repeated', '1', 'the valid one was stored');
SELECT is(import(reading('2024-01-02T00:00:00Z', 5) || '{"payload": "oWF0GCo=", "payload_encoding": "base64", "content_type": "application/json"}') ->> 'imported', '1', 'bytes');
SELECT is(
    (SELECT jsonb_agg(r -> 'code') FROM jsonb_array_elements(api.import_messages(:'external', '[{"topic": "any/topic", "payload": 1, "timestamp": 1577836800}]') -> 'rejected') AS r), NULL,
    'an external broker''s topics are its own'
);

-- Late: rollups take it in, of time that is closed, and whose messages may be gone.
SELECT act_as('none');
SELECT roll_up() \g /dev/null
SELECT is(
    (SELECT string_agg(concat_ws(' ', r.starts_at::date, r.n, r.total), ', ' ORDER BY r.starts_at)
    FROM mqtt.rollups AS r JOIN mqtt.rollup_series AS s ON s.organization_id = r.organization_id AND s.id = r.series_id
    WHERE s.device_id = :'pump' AND s.metric = 't' AND r.hours = 1), '2024-01-01 4 13.5, 2024-01-02 1 5', 'rolled up'
);
UPDATE mqtt.rollup_progress SET raw_since = now() WHERE organization_id = :'org_alice';
SELECT act_as('authenticated', :'alice');
SELECT is(import(reading('2024-01-02T00:30:00Z', 7), reading('2024-01-02T00:31:00Z', 8)) ->> 'imported', '2', 'later');
SELECT act_as('none');
SELECT isnt_empty('SELECT FROM mqtt.late_readings', 'it is late');
SELECT is(
    (SELECT sum((p.value ->> 1)::numeric) FROM jsonb_array_elements(api.query_series(device_ids => ARRAY[:'pump'], metrics => '{t}', since => '2024-01-02', until => '2024-01-03', bucket => '1 day', aggregates => '{sum}')::jsonb) AS s, jsonb_array_elements(s.value -> 'points') AS p),
    20::numeric, 'queries see it at once'
);
SELECT roll_up() \g /dev/null
SELECT is(
    (SELECT concat_ws(' ', r.n, r.total) FROM mqtt.rollups AS r JOIN mqtt.rollup_series AS s ON s.organization_id = r.organization_id AND s.id = r.series_id
    WHERE s.device_id = :'pump' AND s.metric = 't' AND r.hours = 24 AND r.starts_at = '2024-01-02'), '3 20', 'and rollups have it'
);
SELECT is(last_data, '{"t": 8}', 'what is newer is the latest') FROM mqtt.devices WHERE id = :'pump';
SELECT act_as('authenticated', :'alice');
SELECT import(reading('2023-01-01T00:00:00Z', -1)) \g /dev/null
SELECT act_as('none');
SELECT is(mqtt.latest_of(d) -> 't' ->> 'value', '8', 'what is older is not') FROM mqtt.devices AS d WHERE id = :'pump';

-- Retention counts from now on.
SELECT mqtt.apply_retention() \g /dev/null
SELECT is((SELECT count(*) FROM mqtt.mqtt_messages WHERE organization_id IN (:'org_alice', :'org_bob') AND measured_at < '2024-01-01'), 2::bigint, 'it is not taken away at once');

-- Ids that Topicbase gave, as the column id of an export has them.
SELECT mqtt.count_accepted(:'org_alice', 1);
INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id)
VALUES (clock_timestamp(), reading((now() - interval '1 minute')::text, 77, 'sent'), :'org_alice', :'hosted');
SELECT mqtt.process_batch(10) \g /dev/null
SELECT id AS ours FROM mqtt.mqtt_messages WHERE payload = '{"t": 77}' \gset
SELECT act_as('authenticated', :'alice');
SELECT is(
    import(reading('2024-01-01T00:32:00Z', 78, 'sent') || jsonb_build_object('message_id', :'ours')), '{"imported": 0, "repeated": 1, "rejected": []}',
    'a message that came otherwise is a repeat by its id, too'
);

-- What was imported by mistake is deleted by when that was: nothing of it is a latest value any longer.
SELECT api.delete_messages(device_id => 'old', "time" => 'received', since => now() - interval '1 hour') \g /dev/null
SELECT act_as('none');
SELECT mqtt.work_deletions() FROM generate_series(1, 5) \g /dev/null
SELECT results_eq(
    format('SELECT mqtt.latest_of(d), d.last_data FROM mqtt.devices AS d WHERE d.organization_id = %L AND d.external_id = ''old''', :'org_alice'),
    $$VALUES ('{}'::jsonb, NULL::jsonb)$$, 'also of what was measured long before'
);

-- Payload rules.
SELECT act_as('authenticated', :'alice');
SELECT api.upsert_payload_rule(:'hosted', topic => 'org_alice/gateway/+', device => '{topic[3]}', metrics => '{"*": "$.data"}') \g /dev/null
SELECT is(import('{"topic": "org_alice/gateway/g1", "payload": {"data": {"h": 44}}, "timestamp": "2024-03-01T00:00:00Z"}') ->> 'imported', '1', 'a message that a rule matches');
SELECT is(
    (SELECT jsonb_agg(t.metrics) FROM api.query_telemetry(device_id => 'g1') AS t), '[{"h": 44}]', 'has its readings'
);
SELECT act_as('none');
SELECT roll_up() \g /dev/null
SELECT is((SELECT r.total FROM mqtt.rollups AS r JOIN mqtt.rollup_series AS s ON s.organization_id = r.organization_id AND s.id = r.series_id WHERE s.organization_id = :'org_alice' AND s.metric = 'h' AND r.hours = 1), 44::numeric, 'and its rollups');

-- Rules that are written after the import: what they find has rollups, though those of others may have been made of messages that are gone.
SELECT act_as('authenticated', :'alice');
SELECT import(
    '{"topic": "org_alice/later/g2", "payload": {"data": {"k": 5}}, "timestamp": "2024-03-01T00:00:00Z"}',
    '{"topic": "org_alice/later/g2", "payload": {"data": {"k": 6}}, "timestamp": "2024-03-01T00:01:00Z"}'
) \g /dev/null
SELECT act_as('none');
SELECT roll_up() \g /dev/null
SELECT act_as('authenticated', :'alice');
SELECT api.upsert_payload_rule(:'hosted', topic => 'org_alice/later/+', device => '{topic[3]}', metrics => '{"*": "$.data"}') ->> 'id' AS later \gset
SELECT api.reapply_payload_rules(:'hosted', now() - interval '1 hour') \g /dev/null
SELECT act_as('none');
SELECT roll_up() \g /dev/null
CREATE FUNCTION tap.sums(device text) RETURNS jsonb
LANGUAGE sql AS $$
    SELECT jsonb_object_agg(s.value ->> 'metric', s.value #> '{points,0,1}') FROM jsonb_array_elements(api.query_series(
        device_ids => ARRAY[device], since => '2024-03-01', until => '2024-03-02', bucket => '1 day', aggregates => '{sum}', fill => 'none')::jsonb) AS s;
$$;
SELECT is(sums('g2'), '{"k": 11}', 'rules that are applied later have them in charts');
UPDATE mqtt.payload_rules SET metrics = '{"k": "$.data.k * 2", "m": "$.data.k * 3"}' WHERE id = :'later';
SELECT act_as('authenticated', :'alice');
SELECT api.reapply_payload_rules(:'hosted', now() - interval '1 hour') \g /dev/null
SELECT act_as('none');
SELECT roll_up() \g /dev/null
SELECT is(sums('g2'), '{"k": 11, "m": 33}', 'what there are rollups of stays as it is, and what is new is added');

-- No more topics than others may use.
UPDATE mqtt.configuration SET max_topics = (SELECT topics + 1 FROM mqtt.topic_counts WHERE organization_id = :'org_alice');
SELECT act_as('authenticated', :'alice');
SELECT is(
    import(reading('2024-01-01T00:00:00Z', 1, 'n1'), reading('2024-01-01T00:00:00Z', 1, 'n2'), reading('2024-01-01T00:01:00Z', 1, 'n1'), reading('2024-01-01T00:01:00Z', 1)) #> '{rejected,0,code}',
    '"topic_limit_reached"', 'topics are bounded'
);
SELECT act_as('none');
SELECT is((SELECT count(*) FROM mqtt.devices WHERE external_id ~ '^n'), 1::bigint, 'those that fit are stored');

-- A staging table.
CREATE TABLE tap.staging (topic text, payload jsonb, timestamp timestamptz, qos integer);
INSERT INTO tap.staging SELECT 'org_alice/devices/pump/telemetry', jsonb_build_object('t', n, 'u', NULL), '2022-06-01'::timestamptz + n * interval '1 minute', NULL FROM generate_series(1, 250) AS n;
SELECT is(mqtt.import_rows('tap.staging', :'hosted', 100), 100, 'a batch');
SELECT is((SELECT count(*) FROM tap.staging), 150::bigint, 'is taken out');
SELECT is(mqtt.import_rows('tap.staging', :'hosted', 100) + mqtt.import_rows('tap.staging', :'hosted', 100), 150, 'the rest');
SELECT is(mqtt.import_rows('tap.staging', :'hosted'), 0, 'none is left');
SELECT is((SELECT count(*) FROM mqtt.mqtt_messages WHERE organization_id = :'org_alice' AND measured_at < '2023-01-01' AND payload ? 'u'), 250::bigint, 'all are stored');
INSERT INTO tap.staging VALUES ('org_alice/#', '1', '2022-06-01', 0), ('org_alice/devices/pump/telemetry', '1', '2022-06-01', 0);
SELECT refuses(format('SELECT mqtt.import_rows(''tap.staging'', %L)', :'hosted'), 'PT400', 'import_invalid', 'one that cannot be imported is named', '1 of 2 rows cannot be imported.%org_alice/#%');
SELECT is((SELECT count(*) FROM tap.staging), 2::bigint, 'and stays');
SELECT is_empty('SELECT * FROM mqtt.check_ledger()', 'the ledger adds up');
SELECT is_empty(format('SELECT FROM mqtt.mqtt_messages WHERE organization_id = %L', :'org_bob'), 'the neighbour has nothing of it');
SELECT * FROM finish();
ROLLBACK;
