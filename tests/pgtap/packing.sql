-- Packed days: what every public read answers before and after, ids, what packing waits for, changes meanwhile, deletion in packs, retention.
\ir setup.psql
SELECT plan(93);
SET LOCAL timezone = 'UTC';
UPDATE mqtt.configuration SET completed_days = 90, settled_days = 2;
SELECT (now() AT TIME ZONE 'UTC')::date - 9 AS day, (now() AT TIME ZONE 'UTC')::date - 8 AS day_after, to_char((now() AT TIME ZONE 'UTC')::date - 9, 'YYYYMMDD') AS suffix \gset
SELECT count(mqtt.create_partition(t, d)) FROM (VALUES ('mqtt.history'::regclass), ('mqtt.reading_rows')) AS t (t), (VALUES (:'day'::date), (:'day_after')) AS d (d) \g /dev/null

-- 500 readings each, minutes apart, from two devices and across midnight; every fifth with a time of its own.
INSERT INTO mqtt.devices (id, organization_id, integration_id, external_id) VALUES ('11111111-0000-4000-8000-000000000031', :'org_alice', :'hosted', 'fan');
INSERT INTO mqtt.mqtt_messages (organization_id, integration_id, device_id, direction, topic, message_type, received_at, sent_at, measured_at, position, qos, payload)
SELECT
    :'org_alice', :'hosted', d.id, 'incoming', format('org_alice/devices/%s/telemetry', d.external_id), 'telemetry', x.at,
    x.sent_at, coalesce(x.sent_at, x.at), n * 1000 + CASE d.external_id WHEN 'fan' THEN 8 ELSE 7 END, n % 3, jsonb_build_object('temperature', round(20 + sin(n / 50.0)::numeric, 2), 'n', n, 'nested', jsonb_build_object('power', n % 7))
FROM mqtt.devices AS d
CROSS JOIN generate_series(1, 500) AS n
CROSS JOIN LATERAL (VALUES (:'day'::date::timestamptz + interval '6 hours' + n * interval '147.234567 seconds')) AS y (at)
CROSS JOIN LATERAL (VALUES (y.at, CASE WHEN n % 5 = 0 THEN date_trunc('milliseconds', y.at) - n % 50 * interval '1 minute' END)) AS x (at, sent_at)
WHERE d.organization_id = :'org_alice';
-- Many at the same time; what few messages have; the same text in a line of its own; both directions; ids of clients.
INSERT INTO mqtt.mqtt_messages (
    organization_id, id, integration_id, device_id, direction, topic, message_type, received_at, created_at, sent_at, measured_at, position, qos, retain, payload, content_type,
    body, decode_error, properties
)
SELECT
    v.organization_id::uuid, v.id::uuid, v.integration_id::uuid, v.device_id::uuid, v.direction::mqtt.message_direction, v.topic, split_part(v.topic, '/', 4),
    :'day'::date::timestamptz + v.at::interval, :'day'::date::timestamptz + v.at::interval + v.stored::interval, v.sent_at::timestamptz, :'day'::date::timestamptz + v.at::interval,
    v.position, v.qos::smallint, v.retain, v.payload::jsonb, v.content_type, v.body::bytea, v.decode_error, v.properties::jsonb
FROM (VALUES
    (:'org_alice', NULL, :'hosted', :'pump', 'incoming', 'org_alice/devices/pump/status', '2 hours', '0 s', NULL, 1, 1, true, '"online"', NULL, NULL, NULL, NULL),
    (:'org_alice', NULL, :'hosted', :'pump', 'incoming', 'org_alice/devices/pump/status', '2 hours', '5 s', NULL, 2, 1, false, '"line\nof \u00e4"', 'application/json', NULL, NULL, NULL),
    (:'org_alice', NULL, :'hosted', :'pump', 'incoming', 'org_alice/devices/pump/status', '2 hours', '90 days', NULL, 3, 0, false, 'null', 'image/png', '\x00ff0a', 'no JSON', '{"a": null, "b": [1]}'),
    (:'org_alice', NULL, :'hosted', :'pump', 'incoming', 'org_alice/devices/pump/status', '2 hours', '0 s', '2001-01-01 00:00:00.000001Z', 4, 2, false, '1.50', NULL, NULL, NULL, '{}'),
    (:'org_alice', '33333333-0000-4000-8000-000000000001', :'hosted', :'pump', 'incoming', 'org_alice/devices/pump/event', '3 hours', '0 s', NULL, 5, 1, false, '[1, {"x": "y"}]', NULL, NULL, NULL, NULL),
    (:'org_alice', NULL, :'hosted', :'pump', 'outgoing', 'org_alice/devices/pump/commands', '23 hours 59 minutes 59.999999 seconds', '0 s', NULL, 9000000000, 1, false, '{"on": true}', NULL, NULL, NULL, NULL),
    (:'org_alice', NULL, :'external', NULL, 'incoming', 'elsewhere/x', '4 hours', '0 s', NULL, 6, 0, false, '{"temperature": 1}', NULL, NULL, NULL, NULL),
    (:'org_bob', '33333333-0000-4000-8000-000000000002', :'bob_hosted', :'bob_pump', 'incoming', 'org_bob/devices/pump/telemetry', '3 hours', '0 s', NULL, 7, 0, false, '{"temperature": 99}', NULL, NULL, NULL, NULL)
) AS v (organization_id, id, integration_id, device_id, direction, topic, at, stored, sent_at, position, qos, retain, payload, content_type, body, decode_error, properties);
-- What a payload rule made of a message.
UPDATE mqtt.history AS h SET flags = h.flags | 64 WHERE h.position = 200 * 1000 + 7;
INSERT INTO mqtt.reading_rows (received_at, measured_at, position, id, message_id, organization, topic, payload)
SELECT h.received_at, h.measured_at, h.position, h.id, h.id, h.organization, h.topic, '{"temperature": 55}' FROM mqtt.history AS h WHERE h.position = 200 * 1000 + 7;
ANALYZE mqtt.history;
-- Far apart in time of measuring and in position; and packs of another installation, without a packed day.
CREATE TEMPORARY TABLE apart AS
SELECT jsonb_populate_record(h, jsonb_build_object('measured_at', h.measured_at - h.position * interval '2000 days', 'position', h.position << 50)) AS message
FROM mqtt.history AS h
WHERE h.position IN (1, 2, 3);
SELECT mqtt.write_pack(ARRAY(SELECT a.message FROM apart AS a), 0) \g /dev/null
SELECT set_eq('SELECT to_jsonb(m) FROM mqtt.packs AS p CROSS JOIN LATERAL mqtt.messages_of_pack(p.number) AS m', 'SELECT to_jsonb(a.message) FROM apart AS a', 'a pack may have messages of any time and position');
SELECT isnt(mqtt.packed_edge(ARRAY(SELECT o.number FROM mqtt.organizations AS o), NULL, '-infinity', now(), false, 10), NULL, 'readers find packs that came from another installation');
INSERT INTO mqtt.ledger (organization_id, bucket, shard, accepted, completed) VALUES (:'org_bob', :'day'::date + interval '3 hours', mqtt.ledger_level_hour(), 5, 5);
SELECT is(mqtt.count_lacking(:'day', 'dropped'), 4::bigint, 'a day tells how many messages are missing');
SELECT mqtt.write_pack(ARRAY(SELECT h FROM mqtt.history AS h INNER JOIN mqtt.organizations AS o ON o.number = h.organization WHERE o.slug = 'bob'), 0) \g /dev/null
SELECT is(mqtt.count_lacking(:'day', 'dropped'), NULL, 'but not of an organization that came with packs of it from another installation');
DELETE FROM mqtt.ledger;
DELETE FROM mqtt.packs;
SELECT tap.roll_up() \g /dev/null
SELECT m.id AS id_123, m.received_at AS at_123 FROM mqtt.mqtt_messages AS m WHERE m.position = 123 * 1000 + 7 \gset

CREATE FUNCTION tap.pages(call text) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    v_cursor text;
    v_page jsonb;
    v_all jsonb := '[]';
BEGIN
    FOR i IN 1..40 LOOP
        EXECUTE format('SELECT coalesce(jsonb_agg(to_jsonb(x)), ''[]'') FROM (SELECT * FROM %s) AS x', format(call, v_cursor)) INTO v_page;
        EXIT WHEN v_page = '[]';
        v_cursor := v_page -> -1 ->> 'cursor';
        v_all := v_all || v_page;
    END LOOP;
    RETURN v_all;
END;
$$;
CREATE TEMPORARY TABLE asked (place integer GENERATED ALWAYS AS IDENTITY, call text NOT NULL, least integer NOT NULL, before jsonb, after jsonb);
INSERT INTO asked (call, least) VALUES
('api.list_messages()', 100), ('api.list_messages("limit" => 7)', 7), ('api.list_messages(oldest_first => true, "limit" => 900)', 900),
(format('api.list_messages(since => %L, until => %L, "limit" => 50)', :'day'::date + interval '9 hours', :'day'::date + interval '9.5 hours'), 20),
(format('api.list_messages(since => %L, oldest_first => true, "limit" => 50)', :'day'::date + interval '9 hours'), 50),
('api.list_messages(direction => ''outgoing'')', 1), ('api.list_messages(direction => ''outgoing'', oldest_first => true)', 1),
('api.list_messages(device_id => ''fan'', "limit" => 1000)', 500), ('api.list_messages(device_id => ''fan'', oldest_first => true, "limit" => 3)', 3),
('api.list_messages(topic => ''org_alice/devices/pump/status'')', 4), ('api.list_messages(topic => ''elsewhere/x'')', 1),
('api.list_messages(filter => ''org_alice/devices/+/event'')', 1), ('api.list_messages(filter => ''none/#'')', 0),
(format('api.list_messages(integration_id => %L)', :'external'), 1), (format('api.list_messages(id => %L)', :'id_123'), 1),
('api.list_messages(id => ''33333333-0000-4000-8000-000000000001'')', 1), ('api.list_messages(id => ''33333333-0000-4000-8000-000000000002'')', 0),
('api.list_messages(id => ''44444444-0000-4000-8000-000000000002'')', 0),
(format('api.list_messages(stored_since => %L)', :'day'::date + interval '20 days'), 1),
('api.mqtt_messages ORDER BY received_at DESC, id LIMIT 5', 5), ('api.mqtt_messages ORDER BY received_at, id', 1007),
(format('api.mqtt_messages WHERE id = %L', :'id_123'), 1), ('api.mqtt_messages WHERE topic LIKE ''%event''', 1),
(format('api.mqtt_messages WHERE received_at >= %L AND received_at < %L ORDER BY received_at, id', :'day'::date + interval '9 hours', :'day'::date + interval '10 hours'), 40),
('(SELECT status, count(*), sum(qos) FROM api.mqtt_message_queue GROUP BY status) AS q', 1), ('api.query_telemetry()', 100),
('api.query_telemetry("limit" => 3)', 3), ('api.query_telemetry(device_id => ''pump'', "limit" => 5000)', 500), ('api.query_telemetry("time" => ''received'', "limit" => 700)', 700),
('api.query_telemetry("time" => ''received'', device_ids => ''{fan}'', "limit" => 7)', 7),
(format('api.query_telemetry(until => %L, metrics => ''{temperature,nested.power}'')', :'day'::date + interval '9 hours'), 100),
('api.query_telemetry(message_types => ''{status,event}'')', 3), ('api.query_telemetry(metrics => ''{none}'')', 0),
(format('api.query_telemetry(since => %L, until => %L, bucket => ''1 hour'', aggregates => ''{avg,min,max,sum,count,first,last,delta}'')', :'day', :'day_after'), 30),
(format('api.query_telemetry(since => %L, until => %L, bucket => ''7 minutes'', "limit" => 1000)', :'day'::date + interval '6 hours 3 minutes', :'day_after'), 300),
(format('api.query_series(since => %L, until => %L, bucket => ''15 minutes'', aggregates => ''{avg,first,last,delta}'') AS s (series)', :'day', :'day_after'), 1),
(format('api.query_series(since => %L, until => %L, bucket => ''1 minute'', device_ids => ''{pump}'', metrics => ''{temperature}'') AS s (series)', :'day'::date + interval '6 hours', :'day'::date + interval '9 hours'), 1),
(format('(SELECT r -> ''matched'', jsonb_path_query_array(r, ''$.messages[*].id'') FROM api.replay_mqtt_messages(%L, ''org_alice/devices/+/telemetry'', %L, dry_run => true) AS r) AS x', :'hosted', :'day'), 1),
(format('(SELECT r -> ''matched'', jsonb_path_query_array(r, ''$.messages[*].id'') FROM api.replay_mqtt_messages(%L, ''#'', %L, %L, dry_run => true, "limit" => 3) AS r) AS x', :'hosted', :'day'::date + interval '9 hours', :'day_after'), 1),
('tap.pages(''api.list_messages("limit" => 333, cursor => %L)'') AS p (pages)', 1),
('tap.pages(''api.list_messages("limit" => 333, oldest_first => true, cursor => %L)'') AS p (pages)', 1),
('tap.pages(''api.list_messages(topic => ''''org_alice/devices/pump/status'''', "limit" => 1, cursor => %L)'') AS p (pages)', 1),
('tap.pages(''api.query_telemetry("limit" => 333, cursor => %L)'') AS p (pages)', 1),
('tap.pages(''api.query_telemetry("limit" => 100, device_id => ''''pump'''', "time" => ''''received'''', cursor => %L)'') AS p (pages)', 1);
GRANT SELECT, UPDATE ON asked TO authenticated, service_role;
CREATE FUNCTION tap.ask(is_before boolean, every integer DEFAULT 1) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    a record;
    v_answer jsonb;
BEGIN
    FOR a IN SELECT * FROM asked WHERE place % every = 0 ORDER BY place LOOP
        EXECUTE format('SELECT coalesce(jsonb_agg(to_jsonb(x)), ''[]'') FROM (SELECT * FROM %s) AS x', a.call) INTO v_answer;
        UPDATE asked SET before = CASE WHEN is_before THEN v_answer ELSE before END, after = CASE WHEN is_before THEN NULL ELSE v_answer END WHERE place = a.place;
    END LOOP;
END;
$$;
CREATE TEMPORARY TABLE told (step jsonb);
CREATE FUNCTION tap.pack(most integer DEFAULT 300) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    v_steps integer := 0;
    v_step jsonb;
BEGIN
    LOOP
        v_steps := v_steps + 1;
        v_step := mqtt.pack_days(most);
        IF v_step ? 'rows_dropped_of' AND v_step - 'rows_dropped_of' <> '{"more": true, "messages_packed": 0}' THEN
            RAISE 'the history is locked, and more is done: %', v_step;
        END IF;
        INSERT INTO told VALUES (v_step);
        EXIT WHEN NOT (v_step ->> 'more')::boolean OR v_steps >= 200;
    END LOOP;
    RETURN v_steps;
END;
$$;
SELECT act_as('authenticated', :'alice');
SELECT tap.ask(true) \g /dev/null
SELECT act_as('none');
SELECT is_empty('SELECT call, jsonb_array_length(before) FROM asked WHERE jsonb_array_length(before) < least', 'each question has an answer to compare');

SELECT is(mqtt.pack_days(), '{"more": false, "messages_packed": 0}', 'nothing is packed unless it is wanted');
UPDATE mqtt.configuration SET pack_after = 1, settled_days = 9;
SELECT is(mqtt.pack_days(), '{"more": false, "messages_packed": 0}', 'nor before settled_days');
UPDATE mqtt.configuration SET settled_days = 2;
INSERT INTO mqtt.settlements (settled_at, number, first_at, last_at, first_position, organization, message_count, is_outgoing)
SELECT now(), 1, :'at_123', :'at_123', 1, o.number, 1, false FROM mqtt.organizations AS o WHERE o.slug = 'alice';
SELECT is(mqtt.pack_days(), '{"more": false, "messages_packed": 0}', 'nor while a stream may be resumed before it');
DELETE FROM mqtt.settlements;
INSERT INTO pgmq.q_mqtt_messages (vt, enqueued_at, message, organization_id, integration_id) VALUES (now(), :'at_123', '{}', :'org_alice', :'hosted');
SELECT is(mqtt.pack_days(), '{"more": false, "messages_packed": 0}', 'nor while a message of it is queued');
DELETE FROM pgmq.q_mqtt_messages;
INSERT INTO pgmq.q_mqtt_outbound (vt, enqueued_at, message, organization_id, integration_id) VALUES (now(), :'at_123', '{}', :'org_alice', :'hosted');
SELECT is(mqtt.pack_days(), '{"more": false, "messages_packed": 0}', 'or is to be published');
DELETE FROM pgmq.q_mqtt_outbound;
INSERT INTO mqtt.ledger (organization_id, bucket, shard, accepted) VALUES (:'org_alice', :'day'::date + interval '3 hours', mqtt.ledger_level_outcomes(), 1);
SELECT is(mqtt.pack_days(), '{"more": true, "messages_packed": 120}', 'a day whose ledger does not add up waits, others do not');
DELETE FROM mqtt.packs;
DELETE FROM mqtt.packed_days;
DELETE FROM mqtt.ledger;

UPDATE mqtt.organizations AS o SET completed_days = 9 WHERE o.slug = 'bob';
SELECT is(mqtt.pack_days(), '{"more": true, "messages_packed": 120}', 'and one of which retention deletes rows');
DELETE FROM mqtt.packs;
DELETE FROM mqtt.packed_days;
UPDATE mqtt.organizations AS o SET completed_days = NULL WHERE o.slug = 'bob';

SELECT is(mqtt.pack_days(300), '{"more": true, "messages_packed": 300}', 'a step packs as many as it is told');
SELECT is((SELECT count(*) FROM mqtt.packs), (SELECT count(*) FROM mqtt.packs AS p INNER JOIN mqtt.packed_days AS d ON d.run = p.run AND d.day = :'day'), 'the oldest day first');
SELECT act_as('authenticated', :'alice');
SELECT tap.ask(false, 4) \g /dev/null
SELECT act_as('none');
SELECT is_empty('SELECT call, before, after FROM asked WHERE before <> after', 'in the midst of it, answers are the same');
UPDATE mqtt.history AS h SET flags = h.flags WHERE h.id = :'id_123';
SELECT ok((SELECT d.changed_by IS NOT NULL FROM mqtt.packed_days AS d), 'a change meanwhile is noted');
SELECT is(mqtt.pack_days(300), '{"more": true, "messages_packed": 0}', 'so the day is packed again from the start');
SELECT is((SELECT count(*) FROM mqtt.packs), 0::bigint, 'without what was packed before');
INSERT INTO mqtt.ledger (organization_id, bucket, shard, accepted, completed)
SELECT :'org_alice', :'day'::date + interval '13 hours', mqtt.ledger_level_hour(), count(*) + 3, count(*) + 3
FROM mqtt.history AS h
WHERE h.received_at >= :'day'::date + interval '13 hours' AND h.received_at < :'day'::date + interval '14 hours';
SELECT cmp_ok(tap.pack(), '<', 20, 'both days are packed, step by step');
SELECT is((SELECT jsonb_agg(t.step -> 'lacking') FROM told AS t WHERE t.step ? 'lacking'), '[3]', 'and messages whose rows are missing are named when it is');
SELECT is(
    (SELECT string_agg(concat_ws(' ', d.day, d.state, d.message_count), ', ' ORDER BY d.day) FROM mqtt.packed_days AS d),
    format('%s dropped 888, %s dropped 120', :'day', :'day_after'), 'and their rows are dropped, as nobody else sees them'
);
SELECT is(to_regclass('mqtt.history_' || :'suffix'), NULL, 'with the partition');
SELECT is((SELECT count(*) FROM mqtt.history), 0::bigint, 'the history itself is empty');
SELECT cmp_ok((SELECT count(*) FROM mqtt.packs), '<', 20::bigint, 'packs are few');
SELECT act_as('authenticated', :'alice');
SELECT tap.ask(false) \g /dev/null
SELECT act_as('none');
SELECT is(a.after, a.before, a.call) FROM asked AS a ORDER BY a.place;

-- Isolation.
SELECT act_as('authenticated', :'bob');
SELECT is((SELECT count(*) FROM api.mqtt_messages), 1::bigint, 'another organization sees its own');
SELECT is((SELECT count(*) FROM api.list_messages(id => '33333333-0000-4000-8000-000000000002')), 1::bigint, 'and finds it by its id');
SELECT is((SELECT count(*) FROM api.list_messages(id => :'id_123')), 0::bigint, 'and no other');
SELECT is(mqtt.packed_topics(ARRAY(SELECT n FROM generate_series(1, 100000) AS n), '33333333-0000-4000-8000-000000000001'), '{}', 'nor in which topic it is');
SELECT act_as('authenticated', :'nobody');
SELECT is_empty('SELECT FROM mqtt.packs', 'nobody sees packs of others');
SELECT act_as('none');

-- Ids are known.
SELECT is(
    ARRAY[mqtt.settled_status(:'id_123'), mqtt.settled_status('33333333-0000-4000-8000-000000000001'), mqtt.settled_status('44444444-0000-4000-8000-000000000002')],
    '{completed,completed,NULL}', 'what became of a packed message can be asked'
);
SELECT is(
    mqtt.stored_ids(o.number, '{33333333-0000-4000-8000-000000000001,33333333-0000-4000-8000-000000000002}'), '{33333333-0000-4000-8000-000000000001}'::uuid [],
    'an import finds what is packed'
) FROM mqtt.organizations AS o WHERE o.slug = 'alice';
SELECT is(mqtt.stored_ids(o.number, ARRAY[:'id_123', '44444444-0000-4000-8000-000000000002']::uuid []), ARRAY[:'id_123'::uuid], 'also by an id that Topicbase gave') FROM mqtt.organizations AS o WHERE o.slug = 'alice';

-- A failure of packing takes back nothing else.
ALTER TABLE mqtt.packed_days RENAME COLUMN state TO status;
SELECT matches(mqtt.try_maintenance('packing') ->> 'packing_failed', 'state', 'a failure of packing is told, not raised');
ALTER TABLE mqtt.packed_days RENAME COLUMN status TO state;

-- A packed day takes no messages.
SELECT throws_ok(
    format($$INSERT INTO mqtt.mqtt_messages (organization_id, integration_id, direction, topic, received_at, payload) VALUES (%L, %L, 'incoming', 'x', %L, '1')$$, :'org_alice', :'hosted', :'day'),
    'PT409', 'day_packed', 'a packed day takes no messages'
);
-- Nor are its messages interpreted again.
SELECT act_as('authenticated', :'alice');
SELECT is(
    api.reapply_payload_rules(:'hosted', :'day'), jsonb_build_object('messages', 0, 'readings', 0, 'next_cursor', NULL, 'packed_days', ARRAY[:'day', :'day_after']),
    'payload rules are not applied to it, and the answer says so'
);
SELECT is(api.reapply_payload_rules(:'hosted', :'day', :'day_after') -> 'packed_days', jsonb_build_array(:'day'), 'of the time that was asked for');
SELECT act_as('none');

-- Deletion in packs.
SELECT act_as('authenticated', :'alice');
SELECT api.delete_messages(:'hosted', filter => 'org_alice/devices/fan/telemetry', since => :'day'::date + interval '9 hours', until => :'day'::date + interval '10 hours', "time" => 'received') \g /dev/null
SELECT act_as('none');
CREATE FUNCTION tap.work() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..300 LOOP
        EXIT WHEN NOT (mqtt.work_deletions(100) ->> 'more')::boolean;
    END LOOP;
END;
$$;
SELECT tap.work() IS NOT NULL AS done \gset
SELECT is((SELECT count(*) FROM mqtt.mqtt_messages AS m WHERE m.topic LIKE '%fan/telemetry'), 500 - d.messages, 'as many messages are gone as it counted') FROM mqtt.deletions AS d;
SELECT cmp_ok(d.messages, '>', 20::bigint, 'an hour of them') FROM mqtt.deletions AS d;
SELECT is_empty(
    format('SELECT FROM mqtt.mqtt_messages WHERE topic LIKE ''%%fan/telemetry'' AND received_at >= %L AND received_at < %L', :'day'::date + interval '9 hours', :'day'::date + interval '10 hours'),
    'none is left of that hour'
);
SELECT act_as('authenticated', :'alice');
SELECT is_empty(
    format($$
        SELECT x.m FROM asked AS a CROSS JOIN LATERAL jsonb_array_elements(a.before) AS x (m)
        WHERE a.call = 'api.mqtt_messages ORDER BY received_at, id' AND NOT (x.m ->> 'topic' LIKE '%%fan/telemetry' AND (x.m ->> 'received_at')::timestamptz >= %L AND (x.m ->> 'received_at')::timestamptz < %L)
        EXCEPT SELECT to_jsonb(v) FROM api.mqtt_messages AS v
    $$, :'day'::date + interval '9 hours', :'day'::date + interval '10 hours'), 'all others are as they were'
);
SELECT api.delete_device(:'pump', true) \g /dev/null
SELECT act_as('none');
SELECT tap.work() IS NOT NULL AS done \gset
SELECT is((SELECT count(*) FROM mqtt.mqtt_messages AS m WHERE m.topic LIKE '%/pump/%' AND m.organization_id = :'org_alice'), 0::bigint, 'a device goes with all that is packed of it');

-- Topics of packed messages stay, others go.
SELECT ok(mqtt.remove_topics(:'org_alice', ARRAY(SELECT t.number FROM mqtt.topics AS t)) > 0, 'topics without messages go');
SELECT is((SELECT count(*) FROM mqtt.topics AS t WHERE t.topic IN ('elsewhere/x', 'org_alice/devices/fan/telemetry')), 2::bigint, 'those of packed messages stay');

-- Retention.
UPDATE mqtt.organizations AS o SET completed_days = 5 WHERE o.slug = 'bob';
SELECT is(mqtt.apply_retention() ->> 'completed', '1', 'packs go with the term of their organization');
SELECT is((SELECT count(*) FROM mqtt.mqtt_messages AS m WHERE m.organization_id = :'org_bob'), 0::bigint, 'all of them');
SELECT cmp_ok((SELECT count(*) FROM mqtt.mqtt_messages), '>', 400::bigint, 'others stay');
SELECT act_as('authenticated', :'alice');
SELECT api.delete_organization(:'org_alice', 'Alice Ltd') \g /dev/null
SELECT act_as('none');
SELECT tap.work() IS NOT NULL AS done \gset
SELECT is((SELECT count(*) FROM mqtt.packs), 0::bigint, 'an organization goes with its packs');

-- A default partition that was adopted has many days; dropping it for one of them would take the others along.
UPDATE mqtt.organizations AS o SET completed_days = NULL WHERE o.slug = 'bob';
SET LOCAL ROLE mqtt_owner;
SELECT format('CREATE TABLE mqtt.history_adopted PARTITION OF mqtt.history FOR VALUES FROM (%L) TO (%L)', :'day'::date - 20, :'day'::date - 17) \gexec
RESET ROLE;
INSERT INTO mqtt.mqtt_messages (organization_id, integration_id, direction, topic, received_at, position, payload)
SELECT :'org_bob', :'bob_hosted', 'incoming', 'adopted', (:'day'::date - d)::timestamptz, d, '1' FROM generate_series(18, 20) AS d;
SELECT tap.pack() \g /dev/null
SELECT is((SELECT count(*) FROM mqtt.packed_days AS d WHERE d.day < :'day'), 0::bigint, 'days of an adopted partition are not packed');
SELECT is((SELECT count(*) FROM mqtt.mqtt_messages AS m WHERE m.topic = 'adopted' AND NOT m.is_packed), 3::bigint, 'nor dropped');
SELECT * FROM finish();
ROLLBACK;
