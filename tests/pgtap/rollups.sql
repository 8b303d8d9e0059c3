-- Rollups: when time is closed, what is late or changes, corrections after retention, bounds, terms, isolation.
\ir setup.psql
SELECT plan(68);
SET LOCAL timezone = 'UTC';
SELECT date_trunc('hour', now()) - interval '5 hours' AS hour \gset
CREATE FUNCTION tap.measure(age interval, payload jsonb, is_stored boolean DEFAULT true, topic text DEFAULT 'org_alice/devices/pump/telemetry') RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mqtt.count_accepted(i.organization_id, 1) FROM mqtt.device_integrations AS i WHERE i.name = 'hosted' AND i.settings = i.settings
        AND i.organization_id = '11111111-0000-4000-8000-000000000001';
    INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id)
    SELECT clock_timestamp(), jsonb_build_object('topic', $4, 'payload', $2, 'timestamp', date_trunc('hour', now()) - interval '5 hours' + $1),
        i.organization_id, i.id
    FROM mqtt.device_integrations AS i
    WHERE i.id = '11111111-0000-4000-8000-000000000010';
    IF is_stored THEN
        PERFORM mqtt.process_batch(100);
    END IF;
END;
$$;
CREATE VIEW tap.hours AS
SELECT s.device_id, s.metric, r.hours, r.starts_at, r.n, r.total, r.lowest, r.highest, r.first_value, r.last_value, r.delta
FROM mqtt.rollups AS r INNER JOIN mqtt.rollup_series AS s ON s.organization_id = r.organization_id AND s.id = r.series_id;
GRANT SELECT ON tap.hours TO public;
CREATE FUNCTION tap.hour_of(metric text, n integer DEFAULT 0) RETURNS text
LANGUAGE sql AS $$
    SELECT concat_ws(' ', h.n, h.total, h.lowest, h.highest, h.first_value, h.last_value, h.delta)
    FROM tap.hours AS h
    WHERE h.metric = $1 AND h.hours = 1 AND h.starts_at = date_trunc('hour', now()) - interval '5 hours' + $2 * interval '1 hour';
$$;

-- What is measured is rolled up once its time is closed: count, sum, min, max, first, last, delta.
SELECT tap.measure(m, p) FROM (VALUES
    (interval '1 minute', jsonb '{"t": 20, "n": {"total": 5}, "on": true}'), ('1 minute 30 seconds', '{"t": "21.5", "n": {"total": 9}}'),
    ('30 minutes', '{"t": 18, "n": {"total": 2}}'), ('70 minutes', '{"t": 19, "n": {"total": 4}}')
) AS v (m, p) \g /dev/null
SELECT roll_up() \g /dev/null
SELECT is(closed_until, date_bin('10 minutes', now() - interval '1 minute', 'epoch'), 'time is closed a minute later, in steps of ten') FROM mqtt.rollup_progress WHERE organization_id = :'org_alice';
SELECT is(rolled_until, closed_until, 'and rolled up') FROM mqtt.rollup_progress WHERE organization_id = :'org_alice';
SELECT is(hour_of('t'), '3 59.5 18 21.5 20 18 19.5', 'numbers, also in strings');
SELECT is(hour_of('n.total'), '3 16 2 9 5 2 6', 'a counter that was reset goes on from 0');
SELECT is(hour_of('n.total', 1), '1 4 4 4 4 4 0', 'the next hour by itself');
SELECT is_empty('SELECT FROM hours WHERE metric = ''on''', 'what is no number is not');
SELECT results_eq(
    format('SELECT m.minutes, m.totals, m.counts, m.deltas FROM mqtt.rollup_minutes AS m JOIN mqtt.rollup_series AS s ON s.id = m.series_id WHERE s.metric = ''t'' AND m.starts_at >= %L ORDER BY m.starts_at', :'hour'),
    $$VALUES ('{1,30}'::smallint [], '{41.5,18}'::numeric [], '{2,1}'::integer [], '{1.5,0}'::numeric []), ('{10}', '{19}', NULL, NULL)$$, 'minutes of an hour are in one row, where each has one number as this alone'
);

-- Late: named once it is stored, read from the history until it is in the rollups.
SELECT is_empty('SELECT FROM mqtt.late_readings', 'nothing was late');
SELECT tap.measure('10 minutes', '{"t": 40}') \g /dev/null
SELECT results_eq('SELECT organization_id, device_id, hour, cardinality(positions) FROM mqtt.late_readings', format('VALUES (%L::uuid, %L::uuid, %L::timestamptz, 1)', :'org_alice', :'pump', :'hour'), 'what is stored later is late');
SELECT tap.measure('5 hours', '{"t": 41}') \g /dev/null
SELECT is((SELECT count(*) FROM mqtt.late_readings), 1 + (now() > :'hour'::timestamptz + interval '5 hours 11 minutes')::integer::bigint, 'what is of open time is not');
CREATE FUNCTION tap.series(arguments text) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    v_answer jsonb;
BEGIN
    EXECUTE format('SELECT jsonb_agg(p.value - 0) FROM jsonb_array_elements(api.query_series(since => %L, until => %L, bucket => ''1 hour'', fill => ''none'', %s)::jsonb) AS s, jsonb_array_elements(s.value -> ''points'') AS p',
        date_trunc('hour', now()) - interval '5 hours', date_trunc('hour', now()) - interval '3 hours', arguments) INTO v_answer;
    RETURN v_answer;
END;
$$;
GRANT EXECUTE ON FUNCTION tap.series(text) TO public;
SELECT is(series($$metrics => '{t}', aggregates => '{count,sum,max,delta}'$$), '[[4, 99.5, 40, 38.0], [1, 19, 19, 1]]', 'queries see it at once');
SELECT is(series($$metrics => '{t,NULL,t}', aggregates => '{count,sum,max,delta}'$$), '[[4, 99.5, 40, 38.0], [1, 19, 19, 1]]', 'and count it once, however often a metric is named');
SELECT roll_up() \g /dev/null
SELECT is(hour_of('t'), '4 99.5 18 40 20 18 38.0', 'the hour is made again');
SELECT is_empty('SELECT FROM mqtt.late_readings', 'and it is not late any longer');
SELECT is(series($$metrics => '{t}', aggregates => '{count,sum,max}'$$), '[[4, 99.5, 40], [1, 19, 19]]', 'queries see the same');
SELECT is(series($$metrics => '{t}', aggregates => '{p50,count,p90,p50}'$$), '[[20, 4, 40, 20], [19, 1, 19, 19]]', 'percentiles are numbers that were measured');

-- Readings of payload rules: late ones, and those that change as rules are applied again.
CREATE FUNCTION tap.reapply() RETURNS integer
LANGUAGE sql AS $$
    SELECT mqtt.reapply_rules(ARRAY(SELECT m FROM mqtt.messages_between('11111111-0000-4000-8000-000000000010', '-infinity', 0, 'infinity', 1000) AS m));
$$;
SELECT act_as('authenticated', :'alice');
SELECT api.upsert_payload_rule(:'hosted', 'org_alice/x/+/up', '{topic[3]}', metrics => '{"v": "$.v"}') ->> 'id' AS rule \gset
SELECT act_as('none');
SELECT measure('15 minutes', '{"v": 3}', topic => 'org_alice/x/d1/up'), measure('-2 days', '{"v": 5}', topic => 'org_alice/x/d1/up') \g /dev/null
SELECT is((SELECT sum(cardinality(positions)) FROM mqtt.late_readings), 2::bigint, 'a sample of a payload rule may be late');
SELECT roll_up() \g /dev/null
SELECT is(hour_of('v'), '1 3 3 3 3 3 0', 'and its hour is made again');
SELECT is((SELECT array_agg(h.hours ORDER BY h.hours) FROM hours AS h WHERE h.metric = 'v' AND h.starts_at < :'hour'::timestamptz - interval '1 day'), '{1,24}', 'as is its day');
UPDATE mqtt.payload_rules SET device = 'd2', metrics = '{"u": "$.v * 2"}' WHERE id = :'rule';
SELECT reapply() \g /dev/null
SELECT results_eq(
    'SELECT d.external_id, l.hour, l.positions FROM mqtt.late_readings AS l JOIN mqtt.devices AS d ON d.id = l.device_id ORDER BY 1, 2 DESC',
    format($$SELECT d.name, %L::timestamptz - a.age, '{}'::bigint [] FROM (VALUES ('d1'), ('d2')) AS d (name), (VALUES (interval '0'), ('2 days')) AS a (age) ORDER BY 1, 2 DESC$$, :'hour'),
    'rules that are applied again name the hours of the devices that had readings, and of those that have them now'
);
SELECT is(series($$metrics => '{u,v}', aggregates => '{count,sum}'$$), '[[1, 6]]', 'queries see the change at once');
SELECT measure('16 minutes', '{"v": 1}', topic => 'org_alice/x/d1/up') \g /dev/null
SELECT is(series($$metrics => '{u,v}', aggregates => '{count,sum}'$$), '[[2, 8]]', 'and count what is late besides once');
SELECT is(series($$metrics => '{u,v}', aggregates => '{count,delta}'$$), '[[2, 2]]', 'in its order too');
SELECT roll_up() \g /dev/null
SELECT is(hour_of('u'), '2 8 2 6 6 2 2', 'the hour is made of the readings of now');
SELECT is((SELECT array_agg(h.hours ORDER BY h.hours) FROM hours AS h WHERE h.metric = 'u' AND h.starts_at < :'hour'::timestamptz - interval '1 day'), '{1,24}', 'and the day');
SELECT is_empty('SELECT FROM hours WHERE metric = ''v''', 'nothing is left of those of before, nor in the day');
SELECT is_empty('SELECT FROM mqtt.late_readings', 'that is all');
SELECT is((SELECT array_agg(DISTINCT s.metric) FROM mqtt.rollup_series AS s INNER JOIN mqtt.devices AS d ON d.id = s.device_id WHERE d.external_id IN ('d1', 'd2')), '{u}', 'also of the names that metrics had before');
UPDATE mqtt.payload_rules SET topic = 'org_alice/devices/+/telemetry', device = '{topic[3]}', metrics = '{"t": "$.t * 2"}' WHERE id = :'rule';
SELECT reapply(), roll_up() \g /dev/null
SELECT is(hour_of('t'), '3 156 36 80 40 36 76', 'messages that were readings by themselves, and are now interpreted');
SELECT is_empty('SELECT FROM hours WHERE metric IN (''u'', ''n.total'')', 'have no other metrics');
DELETE FROM mqtt.payload_rules WHERE id = :'rule';
SELECT reapply(), roll_up() \g /dev/null
SELECT is(hour_of('t'), '4 99.5 18 40 20 18 38.0', 'and the other way round');

-- Closing: not while a message is queued that was accepted before.
SELECT is(mqtt.closable_until(:'org_alice', now() - interval '1 minute'), date_bin('10 minutes', now() - interval '1 minute', 'epoch'), 'nothing is queued');
SELECT tap.measure('5 hours', '{"t": 42}', false) \g /dev/null
SELECT act_as('none');
UPDATE pgmq.q_mqtt_messages SET enqueued_at = now() - interval '35 minutes', vt = now() + interval '1 hour';
INSERT INTO mqtt.ledger (organization_id, bucket, shard, accepted) VALUES (:'org_alice', date_trunc('minute', now() - interval '35 minutes'), 0, 1);
SELECT is(mqtt.closable_until(:'org_alice', now() - interval '1 minute'), date_bin('10 minutes', now() - interval '35 minutes', 'epoch'), 'time is closed up to the oldest that is');
SELECT is(mqtt.closable_until(:'org_bob', now() - interval '1 minute'), date_bin('10 minutes', now() - interval '1 minute', 'epoch'), 'each organization''s own');
UPDATE mqtt.rollup_progress SET closed_until = now() - interval '1 hour';
SELECT mqtt.close_readings() \g /dev/null
SELECT is(closed_until, date_bin('10 minutes', now() - interval '35 minutes', 'epoch'), 'it stays open until then') FROM mqtt.rollup_progress WHERE organization_id = :'org_alice';
DELETE FROM pgmq.q_mqtt_messages;
SELECT roll_up() \g /dev/null

-- After retention: corrections are added.
SELECT act_as('none');
DELETE FROM mqtt.history;
SELECT mqtt.apply_retention() \g /dev/null
SELECT is(raw_since, date_trunc('hour', now()) - interval '7 days' + interval '1 hour', 'retention says since when messages are there') FROM mqtt.rollup_progress WHERE organization_id = :'org_alice';
UPDATE mqtt.rollup_progress SET raw_since = now() + interval '2 days';
SELECT tap.measure('50 minutes', '{"t": 50, "new": 1}'), tap.measure('1 minute 40 seconds', '{"t": 1}') \g /dev/null
SELECT is(series($$metrics => '{t}', aggregates => '{count,sum,first,last}'$$), '[[6, 150.5, 20, 50], [1, 19, 19, 19]]', 'queries add what is late');
SELECT is(series($$metrics => '{t}', aggregates => '{count,p50}'$$), '[[6, null], [1, null]]', 'where messages are gone, those that are left have no percentile');
SELECT roll_up() \g /dev/null
SELECT is(hour_of('t'), '6 150.5 1 50 20 50 70.0', 'so does maintenance: never from what is left of the messages');
SELECT is(hour_of('new'), '1 1 1 1 1 1 0', 'a metric that is new is made');
INSERT INTO mqtt.payload_rules (organization_id, integration_id, position, topic, device, metrics)
VALUES (:'org_alice', :'hosted', 10, 'org_alice/x/+/up', '{topic[3]}', '{"kept": "$.v"}') RETURNING id AS rule \gset
SELECT measure('15 minutes', '{"v": 3}', topic => 'org_alice/x/d3/up') \g /dev/null
SELECT roll_up() \g /dev/null
UPDATE mqtt.payload_rules SET metrics = '{"kept": "$.v * 2"}' WHERE id = :'rule';
SELECT reapply() \g /dev/null
SELECT is(series($$metrics => '{kept}', aggregates => '{count,sum}'$$), '[[1, 3]]', 'rules that are applied again do not change rollups that cannot be made again');
SELECT roll_up() \g /dev/null
SELECT is(hour_of('kept'), '1 3 3 3 3 3 0', 'nor count twice in them');
SELECT is_empty('SELECT FROM mqtt.late_readings', 'nor wait for ever');
DELETE FROM mqtt.payload_rules WHERE id = :'rule';

-- Metrics of a device are bounded, and so is the room of their numbers.
UPDATE mqtt.configuration SET max_metrics = 4;
SELECT tap.measure('20 minutes', '{"t": 1, "w": 1, "x": 2}') \g /dev/null
SELECT roll_up() \g /dev/null
SELECT is((SELECT array_agg(s.metric ORDER BY s.metric) FROM mqtt.rollup_series AS s WHERE s.device_id = :'pump'), '{n.total,new,t,w,NULL}', 'no more metrics than that');
SELECT results_eq('SELECT details ->> ''device_id'' FROM mqtt.integration_activity_log WHERE activity_type = ''metrics_not_rolled_up''', format('VALUES (%L)', :'pump'), 'and the activity log says so');
SELECT is(series($$metrics => '{w,x}', aggregates => '{sum}'$$), '[[1], [2]]', 'the others are read from the history');
SELECT tap.measure('21 minutes', '{"w": 1e31}') \g /dev/null
SELECT roll_up() \g /dev/null
SELECT is_empty('SELECT FROM hours WHERE metric = ''w''', 'a metric with numbers too long is not rolled up any longer');
SELECT is(series($$metrics => '{w}', aggregates => '{count}'$$), '[[2]]', 'but read from the history');

-- Isolation.
SELECT tap.measure('22 minutes', '{"t": 1}') \g /dev/null
SELECT act_as('authenticated', :'bob');
SELECT is_empty('SELECT FROM mqtt.rollups', 'a stranger sees no rollups');
SELECT is_empty('SELECT FROM mqtt.rollup_minutes UNION ALL SELECT FROM mqtt.rollup_series UNION ALL SELECT FROM mqtt.late_readings', 'nor minutes, metrics and late readings');
SELECT is(series('metrics => ''{t}'''), NULL, 'nor series');
SELECT refuses(format('SELECT api.query_series(device_ids => ARRAY[%L])', :'pump'), 'PT404', 'device_not_found', 'a stranger''s device');
SELECT act_as('authenticated', :'anna');
SELECT throws_ok('DELETE FROM mqtt.rollups', '42501', NULL, 'a member cannot change them');
SELECT act_as('none');

-- Terms, and removal with the device.
UPDATE mqtt.organizations SET rollup_minute_days = 1 WHERE id = :'org_alice';
UPDATE mqtt.rollups SET starts_at = starts_at - interval '3 days';
UPDATE mqtt.rollup_minutes SET starts_at = starts_at - interval '3 days';
SELECT mqtt.trim_rollups(1000) \g /dev/null
SELECT ok(count(*) > 0 AND NOT EXISTS (SELECT FROM mqtt.rollup_minutes), 'minutes have a term of their own') FROM mqtt.rollups;
UPDATE mqtt.organizations SET rollup_days = 1 WHERE id = :'org_alice';
SELECT mqtt.trim_rollups(1) \g /dev/null
SELECT is(is_trimmed, false, 'what is left is for the next call') FROM mqtt.rollup_progress WHERE organization_id = :'org_alice';
-- Where an organization's rollups begin is looked up: of each topic one row is read, however many there are.
INSERT INTO mqtt.history (received_at, measured_at, position, id, organization, topic, stored_after, flags, payload)
SELECT h.received_at, h.measured_at + n * interval '1 ms', h.position + n, gen_random_uuid(), h.organization, h.topic, h.stored_after, h.flags, h.payload
FROM (
    SELECT x.*
    FROM mqtt.history AS x INNER JOIN mqtt.topics AS t ON t.number = x.topic
    WHERE t.device_id = :'pump' AND t.role = 'telemetry' AND x.payload IS NOT NULL AND x.flags & 8 = 0
    LIMIT 1
) AS h CROSS JOIN generate_series(1, 500) AS n;
CREATE FUNCTION tap.rows_fetched() RETURNS bigint
LANGUAGE sql AS $$
    SELECT sum(pg_stat_get_xact_tuples_fetched(i.inhrelid) + pg_stat_get_xact_tuples_returned(i.inhrelid))::bigint
    FROM pg_inherits AS i WHERE i.inhparent = 'mqtt.history'::regclass;
$$;
SELECT is(mqtt.first_measured_at(:'org_alice'), (SELECT min(h.measured_at) FROM mqtt.mqtt_messages AS h WHERE h.organization_id = :'org_alice'), 'that is its oldest message');
SELECT tap.rows_fetched() AS between \gset
SELECT mqtt.first_measured_at(:'org_alice') \g /dev/null
SELECT cmp_ok(tap.rows_fetched() - :between, '<', 100::bigint, 'found without reading the others');
-- One organization whose rollups fail costs the others nothing, and is tried again later.
SELECT lives_ok(
    $$SELECT count(mqtt.metric_number(to_jsonb(t)))
        FROM generate_series(1, 131071) AS c CROSS JOIN LATERAL unnest(ARRAY[chr(c) || '1', '1' || chr(c), '1.' || chr(c), '1e' || chr(c)]) AS t
        WHERE c NOT BETWEEN 55296 AND 57343 AND chr(c) ~ '[\s\d\w]'$$, 'no space, digit or letter of Unicode makes a number that cannot be read'
);
SELECT is(mqtt.metric_number(to_jsonb(E' \t\n\r\f\x0b1 '::text)), 1::numeric, 'those around a number may be of ASCII');
SELECT is(mqtt.metric_number(to_jsonb(U&'\20031'::text)), NULL, 'and of nothing else');
CREATE FUNCTION tap.refuse() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'refused' USING ERRCODE = TG_ARGV[0];
END;
$$;
UPDATE mqtt.rollup_progress SET closed_until = closed_until + interval '1 hour';
CREATE TRIGGER refuse BEFORE UPDATE ON mqtt.rollup_progress FOR EACH ROW
WHEN (new.organization_id = '11111111-0000-4000-8000-000000000001' AND new.rolled_until > old.rolled_until) EXECUTE FUNCTION refuse('22P02');
SELECT is(
    mqtt.roll_up_readings() -> 'rollups_failed', jsonb_build_array(jsonb_build_object('subject', 'organization ' || :'org_alice', 'sqlstate', '22P02', 'reason', 'refused')),
    'the answer names the one that failed, and why'
);
SELECT roll_up() \g /dev/null
SELECT results_eq(
    'SELECT p.organization_id FROM mqtt.rollup_progress AS p WHERE p.rolled_until < p.closed_until', format('VALUES (%L::uuid)', :'org_alice'),
    'the others go on'
);
UPDATE mqtt.maintenance_failures SET failed_by = NULL;
SELECT is(mqtt.roll_up_readings() - '{numbers_rolled_up,rollups_removed}'::text [], '{"more": false}', 'it is left out for a while');
UPDATE mqtt.maintenance_failures SET retry_at = clock_timestamp();
DROP TRIGGER refuse ON mqtt.rollup_progress;
CREATE TRIGGER refuse BEFORE UPDATE ON mqtt.rollup_progress FOR EACH ROW
WHEN (new.organization_id = '11111111-0000-4000-8000-000000000001' AND new.rolled_until > old.rolled_until) EXECUTE FUNCTION refuse('57014');
SELECT is(mqtt.roll_up_readings() #>> '{rollups_failed,0,sqlstate}', '57014', 'a time limit is a failure like others');
SELECT is(
    ARRAY[bridge.diagnose() -> 'rollups', bridge.diagnose() #> '{maintenance_failures,0}'],
    ARRAY['{"behind_seconds": 3600}', jsonb_build_object('step', 'rollups', 'subject', 'organization ' || :'org_alice', 'failures', 2, 'failure', 'refused')],
    'topicbase doctor is told'
);
DROP TRIGGER refuse ON mqtt.rollup_progress;
UPDATE mqtt.maintenance_failures SET retry_at = clock_timestamp(), failed_by = NULL;
SELECT roll_up() \g /dev/null
SELECT is_empty('SELECT FROM mqtt.rollup_progress AS p WHERE p.rolled_until < p.closed_until UNION ALL SELECT FROM mqtt.maintenance_failures', 'then it has caught up');

DELETE FROM mqtt.device_integrations WHERE id = :'hosted';
SELECT mqtt.work_deletions() FROM generate_series(1, 2) \g /dev/null
SELECT is_empty('SELECT FROM mqtt.rollups UNION ALL SELECT FROM mqtt.rollup_series UNION ALL SELECT FROM mqtt.late_readings', 'all goes with the integration');
SELECT isnt_empty('SELECT FROM mqtt.mqtt_messages', 'but for the messages');
SELECT * FROM finish();
ROLLBACK;
