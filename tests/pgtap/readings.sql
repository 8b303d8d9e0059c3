-- What messages say of their device: times, roles by message type, the newest data, the latest value of each metric.
\ir setup.psql
SELECT plan(45);
CREATE FUNCTION tap.queue(message_type text, payload jsonb, extra jsonb DEFAULT '{}', body bytea DEFAULT NULL, credential_id uuid DEFAULT NULL) RETURNS bigint
LANGUAGE sql AS $$
    SELECT mqtt.count_accepted(i.organization_id, 1) FROM mqtt.device_integrations AS i WHERE i.name = current_setting('tap.integration');
    INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id, credential_id, body)
    SELECT clock_timestamp(), jsonb_strip_nulls(jsonb_build_object('topic', 'org_alice/devices/pump/' || message_type, 'payload', payload)) || extra,
        i.organization_id, i.id, $5, $4
    FROM mqtt.device_integrations AS i
    WHERE i.name = current_setting('tap.integration')
    RETURNING msg_id;
$$;
SELECT set_config('tap.integration', name, true) FROM mqtt.device_integrations WHERE id = :'hosted' \g /dev/null
CREATE FUNCTION tap.values_of(external_id text) RETURNS jsonb
LANGUAGE sql AS $$
    SELECT jsonb_object_agg(l.key, l.value -> 'value') FROM mqtt.devices AS d CROSS JOIN LATERAL jsonb_each(mqtt.latest_of(d)) AS l
    WHERE d.external_id = $1 AND d.organization_id = (SELECT id FROM mqtt.organizations WHERE slug = 'alice');
$$;

-- Times of devices.
SELECT results_eq(
    $$SELECT mqtt.device_time(v) FROM unnest('{1771502400,1771502400.25,1771502400123,1771502400123456,1771502400123456789,-1000000000}'::jsonb []) AS v$$,
    $$VALUES ('2026-02-19 12:00:00+00'::timestamptz), ('2026-02-19 12:00:00.25+00'), ('2026-02-19 12:00:00.123+00'), ('2026-02-19 12:00:00.123456+00'),
        ('2026-02-19 12:00:00.123457+00'), ('1938-04-24 22:13:20+00')$$,
    'numbers are seconds, milliseconds, microseconds or nanoseconds by their size'
);
SELECT is(mqtt.device_time(v), '2026-02-19 12:00:00+00', v::text)
FROM (VALUES (jsonb '"1771502400"'), ('"2026-02-19T12:00:00Z"'), ('"2026-02-19 12:00"'), ('"2026-02-19T13:00:00.000+01:00"')) AS t (v);
SELECT is(mqtt.device_time(v), NULL, left(v::text, 40) || ' is no time')
FROM (
    VALUES (jsonb '5'), ('120101'), ('20260219'), ('99999999'), ('1e300'), ('"now"'), ('"1e9"'), ('""'), ('true'), ('null'), ('[]'), ('{}'),
        ('"2026-02-30T00:00:00Z"'), ('"9999-12-31T23:59:59-14:00"'), (NULL)
) AS t (v);
SELECT is(mqtt.data_of_payload('{"t": 1, "ts": 1771502400}', '2026-02-19 12:00:00+00'), '{"t": 1}', 'the member that told the time is no metric');
SELECT is(mqtt.data_of_payload('{"t": 1, "ts": 1771502400}', '2026-02-19 13:00:00+00'), '{"t": 1, "ts": 1771502400}', 'one that did not, is');
SELECT is(mqtt.data_of_payload('[1]', '2026-02-19 13:00:00+00'), '[1]', 'an array has none');
SELECT is(mqtt.data_of_payload('"ts"', '2026-02-19 13:00:00+00'), '"ts"', 'nor has a string');

-- Roles.
SELECT is(
    array_agg(mqtt.message_role(t) ORDER BY o), '{command,command,status,status,event,event,attributes,telemetry,telemetry,telemetry,telemetry}', 'the role goes by the message type'
) FROM unnest('{cmnd,SET,LWT,status,log,Alarm,config,telemetry,state,sensor,NULL}'::text []) WITH ORDINALITY AS u (t, o);
SELECT act_as('none');
SELECT tap.queue('telemetry', '{"temperature": 20, "on": true}') \g /dev/null
SELECT mqtt.process_batch(100) \g /dev/null
UPDATE mqtt.devices SET last_seen_at = '2000-01-01' WHERE id = :'pump';
SELECT tap.queue('commands', '{"temperature": 99}'), tap.queue('set', '5') \g /dev/null
SELECT mqtt.process_batch(100) \g /dev/null
SELECT is(last_seen_at, '2000-01-01', 'what is sent to a device does not count as seen') FROM mqtt.devices WHERE id = :'pump';
SELECT tap.queue('telemetry', NULL, '{"retain": true}', '') \g /dev/null
SELECT tap.queue('telemetry', 'null', '{}', NULL, :'pump_login') \g /dev/null
SELECT mqtt.process_batch(100) \g /dev/null
SELECT is(last_seen_at, '2000-01-01', 'nor does an empty payload, which clears a retained topic') FROM mqtt.devices WHERE id = :'pump';
SELECT tap.queue('log', '"booted"'), tap.queue('lwt', '"offline"'), tap.queue('config', '{"temperature": 98}') \g /dev/null
SELECT mqtt.process_batch(100) \g /dev/null
SELECT is(last_seen_at, now(), 'what it says of itself does') FROM mqtt.devices WHERE id = :'pump';
SELECT is(last_data, '{"on": true, "temperature": 20}', 'none of them changes its data') FROM mqtt.devices WHERE id = :'pump';
SELECT is(tap.values_of('pump'), '{"on": true, "temperature": 20}', 'nor its latest values');
SELECT is((SELECT count(*) FROM mqtt.mqtt_messages WHERE device_id = :'pump'), 8::bigint, 'all are in the history, under the device');

-- The latest value of each metric, by the time of measurement, then by the order of acceptance.
SELECT tap.queue('telemetry', '{"humidity": 1}', jsonb_build_object('timestamp', now() - interval '1 hour')),
    tap.queue('telemetry', '{"humidity": 2, "temperature": 5}', jsonb_build_object('timestamp', now() - interval '2 hours')) \g /dev/null
SELECT mqtt.process_batch(100) \g /dev/null
SELECT is(tap.values_of('pump'), '{"on": true, "humidity": 1, "temperature": 20}', 'late data set what is not known, and do not replace what is newer');
SELECT is((mqtt.latest_of(d) -> 'humidity' ->> 'at')::timestamptz, now() - interval '1 hour', 'at tells when it was measured') FROM mqtt.devices AS d WHERE id = :'pump';
SELECT matches(mqtt.latest_of(d) -> 'humidity' ->> 'at', '\+00:00$', 'in UTC') FROM mqtt.devices AS d WHERE id = :'pump';
SELECT tap.queue('telemetry', jsonb_build_object('temperature', n, 'n' || n, n)) FROM generate_series(21, 30) AS n \g /dev/null
SELECT mqtt.process_batch(100) \g /dev/null
SELECT is(
    tap.values_of('pump') ->> 'temperature', '30', 'of those with the same time the last accepted counts'
);
SELECT ok(tap.values_of('pump') ?& '{n21,n25,n30,humidity,on}', 'and no metric is lost that only an earlier one has');
SELECT is(last_data ->> 'temperature', '30', 'the data, too') FROM mqtt.devices WHERE id = :'pump';
SELECT tap.queue('telemetry', jsonb_build_object('temperature', 31, 'ts', extract(epoch FROM now() - interval '1 minute'), 'a', '{"b": {"c": {"d": 1}, "e": 2}, "f": [1]}'::jsonb, 'g', NULL))
\g /dev/null
SELECT mqtt.process_batch(100) \g /dev/null
SELECT is(tap.values_of('pump') - '{n21,n22,n23,n24,n25,n26,n27,n28,n29,n30,humidity,on}'::text [], '{"temperature": 30, "a.b.e": 2}', 'members of members, as deep as three levels; not the time');
SELECT tap.queue('telemetry', '{"temperature": 40}', jsonb_build_object('timestamp', now() + interval '23 hours')) \g /dev/null
SELECT tap.queue('telemetry', '{"temperature": 41, "pressure": 1}') \g /dev/null
SELECT mqtt.process_batch(100) \g /dev/null
SELECT is(tap.values_of('pump') -> 'temperature', '40', 'a stamp 23 hours ahead is plausible, and stays the newest until then');
SELECT is(tap.values_of('pump') -> 'pressure', '1', 'which holds up no other metric');
UPDATE mqtt.configuration SET max_time_ahead = '1 hour';
SELECT tap.queue('state', '21.5') \g /dev/null
SELECT mqtt.process_batch(100) \g /dev/null
SELECT is(tap.values_of('pump') -> 'value', '21.5', 'what is not an object is named value');

-- What a broker had retained.
UPDATE mqtt.devices SET last_seen_at = '2000-01-01' WHERE id = :'pump';
SELECT tap.queue('telemetry', '{"pressure": 7, "valve": "open"}', '{"retain": true}') \g /dev/null
SELECT mqtt.process_batch(100) \g /dev/null
SELECT is((tap.values_of('pump') -> 'pressure') || (tap.values_of('pump') -> 'valve'), '[1, "open"]', 'a retained message sets what is not known, and nothing else');
SELECT is(last_seen_at, '2000-01-01', 'and is no sign of life') FROM mqtt.devices WHERE id = :'pump';

-- At most 500 metrics.
SELECT tap.queue('telemetry', (SELECT jsonb_object_agg('m' || n, n) FROM generate_series(1, 600) AS n), jsonb_build_object('timestamp', now() + interval '30 minutes')) \g /dev/null
SELECT mqtt.process_batch(100) \g /dev/null
SELECT tap.queue('telemetry', '{"one more": 1}', jsonb_build_object('timestamp', now() + interval '40 minutes')) \g /dev/null
SELECT mqtt.process_batch(100) \g /dev/null
SELECT is((SELECT count(*) FROM jsonb_object_keys(tap.values_of('pump'))), 500::bigint, 'a device has at most 500');
SELECT ok(tap.values_of('pump') ? 'one more', 'the newest');
SELECT * FROM finish();
ROLLBACK;
