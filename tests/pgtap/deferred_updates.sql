-- Devices and credentials while vacuum is held back: put aside by the batches, made up for every few seconds.
\ir setup.psql
SELECT plan(30);

CREATE FUNCTION tap.queue(device text, payload jsonb, sent_at timestamptz, credential_id uuid DEFAULT NULL) RETURNS void
LANGUAGE sql AS $$
    SELECT mqtt.count_accepted(i.organization_id, 1) FROM mqtt.device_integrations AS i WHERE i.id = current_setting('tap.hosted')::uuid;
    INSERT INTO pgmq.q_mqtt_messages (enqueued_at, vt, message, organization_id, integration_id, credential_id, body)
    SELECT
        now(), clock_timestamp() - interval '1 second',
        jsonb_build_object('topic', 'org_alice/devices/' || device || '/t', 'payload', payload, 'timestamp', sent_at),
        i.organization_id, i.id, queue.credential_id, CASE WHEN payload IS NULL THEN '\xff'::bytea END
    FROM mqtt.device_integrations AS i
    WHERE i.id = current_setting('tap.hosted')::uuid;
$$;
SELECT set_config('tap.hosted', :'hosted', false) \g /dev/null
-- What a session remembers of its last look, as if an old transaction had been seen just now, or none.
CREATE FUNCTION tap.batch(is_held boolean) RETURNS jsonb
LANGUAGE sql AS $$
    SELECT set_config('topicbase.is_update_deferred', is_held::text, false), set_config('topicbase.deferral_looked_at', clock_timestamp()::text, false);
    SELECT mqtt.process_batch(100);
$$;
-- The next batch looks again, and finds nothing that holds back vacuum.
CREATE FUNCTION tap.second_passes() RETURNS text
LANGUAGE sql AS $$
    SELECT set_config('topicbase.deferral_looked_at', (clock_timestamp() - interval '2 seconds')::text, false);
$$;

\set fan_login '11111111-0000-4000-8000-000000000041'
INSERT INTO mqtt.mqtt_credentials (
    id, organization_id, integration_id, username, client_id, topic_prefix, secret_salt, secret_hash, mosquitto_hash, bcrypt_hash
)
SELECT :'fan_login', organization_id, integration_id, 'fan_login', 'fan', topic_prefix, secret_salt, secret_hash, mosquitto_hash, bcrypt_hash
FROM mqtt.mqtt_credentials
WHERE id = :'pump_login';

SELECT act_as('none');
SELECT ok(NOT mqtt.apply_due_updates(), 'there is nothing to make up for');
SELECT is(current_setting('topicbase.is_update_deferred'), 'false', 'and nothing is deferred while nothing is dead');

SELECT tap.queue('pump', '1', now() - interval '9 minutes', :'pump_login');
SELECT is(tap.batch(false) ->> 'processed', '1', 'a batch while nothing is held back');
SELECT is((SELECT last_data FROM mqtt.devices WHERE id = :'pump'), '1', 'writes the device at once');
SELECT d.ctid AS device, c.ctid AS credential FROM mqtt.devices AS d, mqtt.mqtt_credentials AS c WHERE d.id = :'pump' AND c.id = :'pump_login' \gset

SELECT tap.queue('pump', '3', now() - interval '3 minutes', :'pump_login');
SELECT tap.batch(true) \g /dev/null
SELECT tap.queue('pump', '2', now() - interval '5 minutes', :'pump_login');
SELECT tap.queue('pump', '0', now() - interval '8 minutes', :'pump_login');
SELECT tap.queue('new', '"up"', now(), :'fan_login');
SELECT is(tap.batch(true) ->> 'processed', '3', 'and while something is');
SELECT results_eq(
    format('SELECT d.ctid, c.ctid FROM mqtt.devices AS d, mqtt.mqtt_credentials AS c WHERE d.id = %L AND c.id = %L', :'pump', :'pump_login'),
    format('VALUES (%L::tid, %L::tid)', :'device', :'credential'), 'makes no version of rows that are there'
);
SELECT is((SELECT count(*) FROM mqtt.mqtt_messages WHERE device_id = :'pump'), 4::bigint, 'the history has each message with its device');
SELECT is((SELECT last_data FROM mqtt.devices WHERE external_id = 'new'), '"up"', 'a new device is registered at once');
SELECT is((SELECT connection_count FROM mqtt.mqtt_credentials WHERE id = :'fan_login'), 1::bigint, 'and the first use of a credential is written');
SELECT ok(EXISTS (
    SELECT FROM mqtt.integration_activity_log WHERE activity_type = 'credential_first_used' AND details ->> 'credential_id' = :'fan_login'
), 'and noted in the log');
SELECT is(tap.batch(true), '{"dead": 0, "more": false, "failed": 0, "processed": 0}', 'it is not made up for with each batch');
SELECT tap.second_passes() \g /dev/null
SELECT is(mqtt.process_batch(100), '{"dead": 0, "more": true, "failed": 0, "processed": 0}', 'later it is, in a transaction of its own');
SELECT results_eq(
    format('SELECT last_data, last_data_at, last_seen_at FROM mqtt.devices WHERE id = %L', :'pump'), $$VALUES ('3'::jsonb, now() - interval '3 minutes', now())$$,
    'the newest by the device''s clock stands, whatever came last'
);
SELECT results_eq(
    format($$SELECT mqtt.latest_of(d) -> 'value' ->> 'value', (mqtt.latest_of(d) -> 'value' ->> 'at')::timestamptz FROM mqtt.devices AS d WHERE id = %L$$, :'pump'),
    $$VALUES ('3', now() - interval '3 minutes')$$, 'and so do the latest values'
);
SELECT is((SELECT connection_count FROM mqtt.mqtt_credentials WHERE id = :'pump_login'), 4::bigint, 'each use is counted once');
SELECT is(
    (SELECT count(*) FROM mqtt.deferred_device_updates) + (SELECT count(*) FROM mqtt.deferred_credential_updates), 0::bigint, 'nothing is left over'
);

SELECT tap.queue('pump', NULL, now() - interval '1 minute', :'pump_login');
SELECT tap.queue('new', '"down"', now() + interval '1 second', :'pump_login');
SELECT tap.batch(true);
DELETE FROM mqtt.devices WHERE external_id = 'new';
SELECT tap.second_passes() \g /dev/null
SELECT is(mqtt.process_batch(100) ->> 'more', 'true', 'what is deferred when vacuum is let go is made up for');
SELECT results_eq(
    format('SELECT last_data, last_data_at FROM mqtt.devices WHERE id = %L', :'pump'), $$VALUES ('3'::jsonb, now() - interval '1 minute')$$,
    'bytes that are no JSON leave the newest payload as it is'
);
SELECT is((SELECT count(*) FROM mqtt.devices WHERE external_id = 'new'), 0::bigint, 'a device that was deleted meanwhile stays so');
SELECT tap.queue('valve', '1', now()) \g /dev/null
SELECT tap.batch(true) \g /dev/null
SELECT tap.queue('valve', '2', now()) \g /dev/null
SELECT tap.batch(true) \g /dev/null
SELECT id AS valve FROM mqtt.devices WHERE external_id = 'valve' \gset
SELECT is(mqtt.apply_deferred_updates(now() - interval '1 hour'), 1::bigint, 'while vacuum is held back, a device that was deferred');
SELECT results_eq('SELECT external_id, device_id FROM mqtt.deferred_device_ids', format('VALUES (''valve'', %L::uuid)', :'valve'), 'is remembered');
UPDATE mqtt.deferred_device_ids SET device_id = '11111111-0000-4000-8000-0000000000fe';
SELECT tap.queue('valve', '3', now()) \g /dev/null
SELECT tap.batch(true) \g /dev/null
SELECT is(
    (SELECT payload FROM mqtt.mqtt_messages WHERE device_id = '11111111-0000-4000-8000-0000000000fe'), '3', 'and found there, not among its versions'
);
UPDATE mqtt.deferred_device_ids SET device_id = :'valve';
UPDATE mqtt.devices SET external_id = 'old valve' WHERE id = :'valve';
SELECT tap.queue('valve', '4', now()) \g /dev/null
SELECT tap.batch(true) \g /dev/null
SELECT isnt((SELECT id FROM mqtt.devices WHERE external_id = 'valve'), :'valve', 'under its old name one that was renamed is another');
SELECT is((SELECT external_id FROM mqtt.deferred_device_ids), 'old valve', 'and it is remembered by its new one');
DELETE FROM mqtt.devices WHERE id = :'valve';
SELECT is_empty('SELECT FROM mqtt.deferred_device_ids', 'and not at all when it is deleted');
SELECT tap.queue('valve', '5', now()) \g /dev/null
SELECT tap.batch(true) \g /dev/null
SELECT mqtt.apply_deferred_updates(now() - interval '1 hour') \g /dev/null
SELECT tap.second_passes() \g /dev/null
SELECT mqtt.process_batch(100) \g /dev/null
SELECT is_empty('SELECT FROM mqtt.deferred_device_ids', 'nor is any when vacuum is let go');

-- Of many rows of a device, the newest mostly tells all; of the others, what it lacks.
CREATE FUNCTION tap.latest(device text) RETURNS jsonb
LANGUAGE sql AS $$
    SELECT jsonb_object_agg(l.key, l.value -> 'value') FROM mqtt.devices AS d CROSS JOIN LATERAL jsonb_each(mqtt.latest_of(d)) AS l WHERE d.external_id = device;
$$;
SELECT tap.queue('mixer', '{"a": 0}', now() - interval '1 hour') \g /dev/null
SELECT tap.batch(false) \g /dev/null
SELECT tap.queue('mixer', '{"a": 1, "b": 1, "c": {"d": 1}}', now() - interval '9 s') \g /dev/null
SELECT tap.batch(true) \g /dev/null
SELECT tap.queue('mixer', '{"a": 5, "e": "x"}', now() - interval '2 s') \g /dev/null
SELECT tap.batch(true) \g /dev/null
SELECT tap.queue('mixer', '{"a": 4, "timestamp": "noon"}', now() - interval '4 s') \g /dev/null
SELECT tap.batch(true) \g /dev/null
SELECT tap.queue('mixer', '{"a": 3, "b": 3}', now() - interval '5 s') \g /dev/null
SELECT tap.batch(true) \g /dev/null
SELECT mqtt.apply_deferred_updates() \g /dev/null
SELECT is(tap.latest('mixer'), '{"a": 5, "b": 3, "c.d": 1, "e": "x", "timestamp": "noon"}', 'each metric has its newest value, whichever batch told it');
SET LOCAL track_functions = 'all';
SELECT tap.queue('mixer', jsonb_build_object('a', n, 'b', n, 'e', n), now() + n * interval '1 ms'), tap.batch(true) FROM generate_series(1, 20) AS n \g /dev/null
SELECT coalesce(pg_stat_get_xact_function_calls('mqtt.data_values(jsonb, timestamptz)'::regprocedure), 0) AS before \gset
SELECT mqtt.apply_deferred_updates() \g /dev/null
SELECT is(tap.latest('mixer') -> 'a', '20', 'of twenty rows the newest stands');
SELECT cmp_ok(
    pg_stat_get_xact_function_calls('mqtt.data_values(jsonb, timestamptz)'::regprocedure) - :before, '<=', 2::bigint,
    'and the others, which tell no more, are not taken apart'
);

SELECT is_empty(
    $$SELECT t, r FROM unnest('{deferred_device_updates,deferred_credential_updates,deferred_device_ids}'::text []) AS t
        CROSS JOIN unnest('{anon,authenticated,service_role,mqtt_bridge,authenticator}'::text []) AS r
        WHERE has_any_column_privilege(r, 'mqtt.' || t, 'select, insert, update, references') OR has_table_privilege(r, 'mqtt.' || t, 'delete')$$,
    'no role reaches what is put aside'
);
SELECT * FROM finish();
ROLLBACK;
