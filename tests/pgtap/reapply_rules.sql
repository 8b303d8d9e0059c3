-- Applying payload rules again: stored messages become what the present rules make of them, and nothing that those cannot know is lost.
\ir setup.psql
SELECT to_regprocedure('mqtt.py_seal(bytea, text)') IS NULL AS lacks_plpython \gset
\if :lacks_plpython
SELECT plan(1);
SELECT skip('not run: it needs PL/Python', 1);
\else
SELECT plan(23);
CREATE FUNCTION tap.take(topic text, payload jsonb, content_type text DEFAULT NULL, body bytea DEFAULT NULL, credential uuid DEFAULT NULL, at timestamptz DEFAULT NULL)
RETURNS integer LANGUAGE sql AS $$
    SELECT mqtt.count_accepted('11111111-0000-4000-8000-000000000001', 1);
    INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id, body, credential_id)
    VALUES (
        clock_timestamp(), jsonb_strip_nulls(jsonb_build_object('topic', topic, 'payload', payload, 'content_type', content_type, 'timestamp', at)),
        '11111111-0000-4000-8000-000000000001', '11111111-0000-4000-8000-000000000010', body, credential
    );
    SELECT (mqtt.store_messages(ARRAY(SELECT q.ctid FROM pgmq.q_mqtt_messages AS q)))[1];
$$;
CREATE FUNCTION tap.reapply() RETURNS integer LANGUAGE sql AS $$
    SELECT mqtt.reapply_rules(ARRAY(SELECT m FROM mqtt.messages_between('11111111-0000-4000-8000-000000000010', '-infinity', 0, 'infinity', 1000) AS m));
$$;
CREATE VIEW tap.readings AS
SELECT d.external_id, r.role, r.payload, r.measured_at, r.received_at
FROM mqtt.readings AS r INNER JOIN mqtt.devices AS d ON d.id = r.device_id;
GRANT SELECT ON tap.readings TO public;
CREATE FUNCTION tap.rule(topic text, device text, rest text DEFAULT '') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM mqtt.payload_rules;
    EXECUTE format('SELECT api.upsert_payload_rule(''11111111-0000-4000-8000-000000000010'', %L, %L%s)', topic, device, rest);
END;
$$;

-- A rule is deleted: topic_pattern decides about its messages, as if it had never been.
SELECT rule('org_alice/devices/+/telemetry', 'wrong/{topic[3]}', $$, "time" => '{"path": "$.at", "unit": "s"}'$$);
SELECT take('org_alice/devices/d1/telemetry', format('{"v": 1, "at": %s}', extract(EPOCH FROM now())::bigint - 60)::jsonb) \g /dev/null
SELECT is((SELECT count(*) FROM readings WHERE external_id = 'wrong/d1' AND measured_at < received_at - interval '50 seconds'), 1::bigint, 'a rule decides');
DELETE FROM mqtt.payload_rules;
SELECT reapply() \g /dev/null
SELECT results_eq('SELECT external_id, role, payload - ''at'', measured_at = received_at FROM readings', $$VALUES ('d1', 'telemetry', '{"v": 1}'::jsonb, true)$$, 'without it, the topic''s device has the reading, at the time that it had come');
SELECT is_empty('SELECT FROM mqtt.mqtt_messages AS m INNER JOIN mqtt.devices AS d ON d.id = m.device_id WHERE d.external_id LIKE ''wrong/%''', 'nor is the message the other device''s');

-- A rule changes: device, role, reason and time of the message follow.
SELECT rule('org_alice/devices/+/telemetry', 'first/{topic[3]}', $$, metrics => '{"none": "$.none"}'$$);
SELECT reapply() \g /dev/null
SELECT is((SELECT decode_error FROM mqtt.mqtt_messages), 'none of its metrics is there', 'what a rule does not find stands at the message');
SELECT rule('org_alice/devices/+/telemetry', 'second/{topic[3]}', $$, role => 'event'$$);
SELECT reapply() \g /dev/null
SELECT results_eq(
    'SELECT d.external_id, t.role, m.decode_error FROM mqtt.mqtt_messages AS m INNER JOIN mqtt.topics AS t ON t.number = m.topic_number INNER JOIN mqtt.devices AS d ON d.id = t.device_id',
    $$VALUES ('second/d1', 'event', NULL)$$, 'and is gone with it; the message is its device''s, and has its role'
);
SELECT results_eq('SELECT external_id, role FROM readings', $$VALUES ('second/d1', 'event')$$, 'as is the reading');
DELETE FROM mqtt.payload_rules;
SELECT reapply() \g /dev/null
SELECT is((SELECT count(*) FROM mqtt.history WHERE flags & 192 <> 0), 0::bigint, 'nothing is left of a rule');

-- The sender's own time stays where a rule says none.
SELECT take('org_alice/devices/d2/telemetry', '{"v": 2}', at => now() - interval '30 minutes') \g /dev/null
SELECT rule('org_alice/devices/d2/telemetry', 'third');
SELECT reapply() \g /dev/null
SELECT is((SELECT measured_at FROM readings WHERE external_id = 'third'), now() - interval '30 minutes', 'the time that the sender gave stays');
DELETE FROM mqtt.payload_rules;
SELECT reapply() \g /dev/null
SELECT is((SELECT measured_at FROM readings WHERE external_id = 'd2'), now() - interval '30 minutes', 'and when the rule is gone');

-- What the history does not have: the login, and what Sparkplug's births said. Such readings stay.
SELECT rule('org_alice/x', '{login}');
SELECT take('org_alice/x', '{"v": 3}', credential => :'pump_login') \g /dev/null
SELECT reapply() \g /dev/null
SELECT is((SELECT payload FROM readings WHERE external_id = 'pump_login'), '{"v": 3}', 'a device named by the login keeps its readings');
DELETE FROM mqtt.payload_rules;
SELECT api.apply_device_preset(:'hosted', 'sparkplug-b') \g /dev/null
SELECT take('org_alice/spBv1.0/P/NBIRTH/e', NULL, NULL, '\x0880dba1af993412120a0562645365711880dba1af99342004580012210a144e6f646520436f6e74726f6c2f526562697274681880dba1af9934200b70001800') \g /dev/null
SELECT take('org_alice/spBv1.0/P/DBIRTH/e/d', NULL, NULL, '\x0880dba1af993412210a0b74656d706572617475726510011880dba1af9934200a6900000000008035401801') \g /dev/null
SELECT reapply() \g /dev/null
SELECT is((SELECT payload FROM readings WHERE external_id = 'P/e/d'), '{"temperature": 21.5}', 'as do those of Sparkplug B');
DELETE FROM mqtt.payload_rules;
SELECT reapply() \g /dev/null
SELECT is_empty('SELECT FROM readings WHERE external_id IN (''pump_login'', ''P/e/d'')', 'until their rules are gone');

-- What was decoded by its content type is a document already.
SELECT rule('org_alice/c', 'cbor', $$, decode => 'cbor'$$);
SELECT take('org_alice/c', NULL, 'application/cbor', '\xa1617605') \g /dev/null
SELECT reapply() \g /dev/null
SELECT is((SELECT payload FROM readings WHERE external_id = 'cbor'), '{"v": 5}', 'CBOR that was decoded is read as such');
SELECT rule('org_alice/s', '{$.device}', $$, decode => 'senml-cbor', samples => '{$[*]}', metrics => '{"*": "$.values"}'$$);
SELECT take('org_alice/s', NULL, 'application/senml+cbor', '\x81a321636465760061760207') \g /dev/null
SELECT is((SELECT payload FROM readings WHERE external_id = 'dev'), '{"v": 7}', 'SenML is understood');
SELECT reapply() \g /dev/null
SELECT is((SELECT payload FROM readings WHERE external_id = 'dev'), '{"v": 7}', 'and stays');

-- Bounds.
UPDATE mqtt.configuration SET max_topics = (SELECT topics FROM mqtt.topic_counts WHERE organization_id = :'org_alice');
SELECT rule('org_alice/devices/d1/telemetry', 'more');
SELECT refuses('SELECT reapply()', 'PT403', 'topic_limit_reached', 'no more topics than the installation allows');
UPDATE mqtt.configuration SET max_topics = DEFAULT;

-- Samples of one message and time: the last one is the newest, in the latest values as in queries.
SELECT rule('org_alice/list', 'list', $$, samples => '{$[*]}'$$);
SELECT take('org_alice/list', (SELECT jsonb_agg(jsonb_build_object('n', n, 'odd' || n % 2, n)) FROM generate_series(1, 40) AS n)) \g /dev/null
SELECT is((SELECT d.last_data -> 'n' FROM mqtt.devices AS d WHERE d.external_id = 'list'), '40', 'the last sample is the newest');
SELECT is((SELECT mqtt.latest_of(d) #> '{n,value}' FROM mqtt.devices AS d WHERE d.external_id = 'list'), '40', 'of each metric');
SELECT is((SELECT mqtt.latest_of(d) #> '{odd1,value}' FROM mqtt.devices AS d WHERE d.external_id = 'list'), '39', 'also where the newest lacks it');
SELECT is((SELECT r.payload -> 'n' FROM mqtt.readings AS r INNER JOIN mqtt.devices AS d ON d.id = r.device_id WHERE d.external_id = 'list' ORDER BY r.position DESC LIMIT 1), '40', 'and for queries');
SELECT reapply() \g /dev/null
SELECT is((SELECT r.payload -> 'n' FROM mqtt.readings AS r INNER JOIN mqtt.devices AS d ON d.id = r.device_id WHERE d.external_id = 'list' ORDER BY r.position DESC LIMIT 1), '40', 'before and after the rules are applied again');

-- Rules that are applied again by two at once.
SELECT act_as('authenticated', :'alice');
SELECT api.reapply_payload_rules(:'hosted', NULL) \g /dev/null
SELECT act_as('none');
SELECT is(
    (SELECT count(*) FROM pg_catalog.pg_locks AS l WHERE l.locktype = 'advisory' AND l.pid = pg_backend_pid() AND l.mode = 'ExclusiveLock' AND l.classid = mqtt.rules_lock()::oid),
    1::bigint, 'wait for each other'
);
SELECT ok(NOT EXISTS (SELECT FROM mqtt.readings AS r GROUP BY r.message_id, r.position HAVING count(*) > 1), 'no reading is there twice');
\endif
SELECT * FROM finish();
ROLLBACK;
