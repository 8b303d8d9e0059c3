-- Wrong passwords: counted though refused, slowed down, told once, and nobody locked out.
\ir setup.psql
SELECT plan(22);
SELECT jsonb_build_object('x-username', 'pump_login', 'x-password', :'pump_password', 'x-client-id', 'pump_login_1') AS login \gset
CREATE FUNCTION pg_temp.send(headers jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_answer json;
BEGIN
    PERFORM set_config('response.status', '', true), set_config('response.headers', '', true), set_config('request.headers', headers::text, true);
    v_answer := api.mqtt_ingest('org_alice/devices/pump/telemetry', '1');
    RETURN current_setting('response.status') || ' ' || coalesce(v_answer ->> 'message', v_answer ->> 'status');
END;
$$;
UPDATE mqtt.configuration SET max_wrong_passwords = 3;
SELECT act_as('anon');
SELECT is(pg_temp.send(:'login'::jsonb || '{"x-password": "wrong"}'), c.answer, format('wrong password %s', c.try))
FROM (VALUES (1, '401 invalid_credentials'), (2, '401 invalid_credentials'), (3, '401 invalid_credentials'), (4, '429 too_many_wrong_passwords'), (5, '429 too_many_wrong_passwords')) AS c (try, answer);
SELECT matches(current_setting('response.headers'), '^\[\{"Retry-After": "([1-9]|[1-5][0-9]|60)"\}\]$', 'with the seconds to wait');
SELECT is(pg_temp.send(:'login'), '202 queued', 'the right one works all the while');
SELECT is(pg_temp.send(:'login'::jsonb || '{"x-client-id": "other"}'), '429 too_many_wrong_passwords', 'another client id counts like a wrong password');
SELECT is(pg_temp.send('{"x-username": "bob_login", "x-password": "wrong", "x-client-id": "bob_login_1"}'), '401 invalid_credentials', 'another username is not touched');
SELECT is(pg_temp.send('{"x-username": "stranger", "x-password": "x"}'), c.answer, format('an unknown username, try %s: the same', c.try))
FROM (VALUES (1, '401 invalid_credentials'), (2, '401 invalid_credentials'), (3, '401 invalid_credentials'), (4, '429 too_many_wrong_passwords')) AS c (try, answer);
SELECT is((SELECT array_agg(DISTINCT pg_temp.send(h)) FROM unnest(array_fill('{"x-username": "no name!", "x-password": "x"}'::jsonb, ARRAY[9])) AS h), '{401 invalid_credentials}', 'what can be no username is not counted');
SELECT is((SELECT array_agg(DISTINCT pg_temp.send(h)) FROM unnest(array_fill('{}'::jsonb, ARRAY[9])) AS h), '{401 invalid_credentials}', 'nor is no login at all');
SELECT act_as('none');
SELECT is(count(*), 3::bigint, 'as many rows as usernames that were tried') FROM mqtt.wrong_passwords;
SELECT results_eq(
    $$SELECT organization_id, integration_id, status, details ->> 'username', (details ->> 'tries')::integer FROM mqtt.integration_activity_log WHERE activity_type = 'wrong_passwords'$$,
    format('VALUES (%L::uuid, %L::uuid, %L, %L, 4)', :'org_alice', :'hosted', 'failed', 'pump_login'), 'the activity log tells it once'
);
UPDATE mqtt.wrong_passwords SET since = since - interval '1 minute';
SELECT act_as('anon');
SELECT is(pg_temp.send(:'login'::jsonb || '{"x-password": "wrong"}'), '401 invalid_credentials', 'after a minute counting starts again');

-- All three doors.
SELECT act_as('anon', NULL, '{"x-username": "bob_login", "x-password": "wrong", "x-client-id": "bob_login_1"}');
SELECT is(api.mqtt_ingest_batch('[]') ->> 'message', 'invalid_credentials', 'batch');
SELECT is(api.mqtt_ingest_binary('x') ->> 'message', 'invalid_credentials', 'binary');
SELECT act_as('none');
SELECT is_empty(
    $$SELECT p.oid::regprocedure FROM pg_catalog.pg_proc AS p WHERE p.prosrc ~ 'mqtt\.(device_login|request_session)\(\)' AND p.proname <> 'device_login' AND p.prosrc !~ 'fault IS NOT NULL THEN\s+RETURN mqtt\.answer_wrong_login'$$,
    'whoever asks who it is heeds the answer'
);
-- Brokers count too.
SELECT act_as('service_role');
SELECT api.generate_broker_key('rabbit') ->> 'authorization' AS key \gset
SELECT act_as('none', NULL, jsonb_build_object('authorization', :'key'));
SELECT api.rabbitmq_auth_user('carol', 'wrong', 'carol'), api.emqx_authenticate('carol', 'wrong', 'carol') \g /dev/null
SELECT is((SELECT w.tries FROM mqtt.wrong_passwords AS w WHERE w.bucket = hashtext('carol') & 16383), 2, 'so do those that brokers ask about');
SELECT * FROM finish();
ROLLBACK;
