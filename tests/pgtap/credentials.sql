-- Device logins: generate, get, rotate, revoke; grants, each documented error, isolation, no secret kept.
\ir setup.psql
SELECT plan(89);
SELECT is(has_function_privilege('anon', p.oid, 'execute'), false, p.proname || ' is not for anon')
FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = 'api'::regnamespace AND p.proname LIKE '%mqtt%credentials';

SELECT act_as('authenticated', :'alice');
SELECT api.generate_mqtt_credentials(:'hosted') AS made \gset
SELECT :'made'::jsonb ->> 'password' AS password, :'made'::jsonb ->> 'username' AS username, :'made'::jsonb ->> 'id' AS id \gset
SELECT matches(:'password'::text, '^[A-Za-z0-9_-]{32}$', 'a password of 32 URL-safe characters');
SELECT matches(:'username'::text, '^[A-Za-z0-9_.-]{1,64}$', 'a user name that every broker takes');
SELECT is(:'made'::jsonb ->> 'client_id', :'username', 'a client id');
SELECT is(:'made'::jsonb ->> 'topic_prefix', 'org_alice', 'the organization''s prefix');
SELECT is(:'made'::jsonb ->> 'broker_url', 'mqtt://localhost:1883', 'the hosted broker');
SELECT is(:'made'::jsonb ->> 'credential_id', :'id', 'its id, by both names');
SELECT is(current_setting('response.headers'), '[{"Cache-Control": "no-store"}]', 'no cache may keep the answer');
SELECT is(api.generate_mqtt_credentials(:'external') ->> 'broker_url', 'mqtt://broker.example.com:1883', 'the external broker''s URL');
SELECT is(api.generate_mqtt_credentials(:'hosted', 'pump') ->> 'topic_prefix', 'org_alice/devices/pump', 'bound to a device: its topics');
SELECT is(api.generate_mqtt_credentials(:'hosted', :'pump') ->> 'device_id', :'pump', 'a device by its id');
SELECT is(api.generate_mqtt_credentials(:'hosted', external_id => 'pump') ->> 'device_id', :'pump', 'a device by its external id');
SELECT is(api.mqtt_hybrid_credentials('generate', :'hosted', external_id => 'pump') ->> 'device_id', :'pump', 'there, too');
SELECT is(api.generate_mqtt_credentials(:'hosted', client_id => 'c-1') ->> 'client_id', 'c-1', 'a client id of one''s own');
SELECT is(api.generate_mqtt_credentials(:'hosted', topic_prefix => 'org_alice/line 1') ->> 'topic_prefix', 'org_alice/line 1', 'a deeper prefix');
SELECT is(api.generate_mqtt_credentials(:'external', topic_prefix => 'plant') ->> 'topic_prefix', 'plant', 'any prefix at an external broker');
SELECT is(
    api.generate_mqtt_credentials(:'hosted', can_subscribe => false, publish_filters => '{org_alice/+/up}', max_per_second => 5) - '{id,credential_id}'::text []
    @> '{"can_publish": true, "can_subscribe": false, "publish_filters": ["org_alice/+/up"], "max_per_second": 5}', true, 'narrowed to a direction and filters'
);
SELECT is(api.generate_mqtt_credentials(:'hosted', expires_at => now() + interval '1 day') ->> 'status', 'active', 'one that will expire');
SELECT is(api.generate_mqtt_credentials(:'hosted', expires_at => 'infinity') ->> 'expires_at', NULL, 'one that never will');

SELECT refuses(format('SELECT api.generate_mqtt_credentials(%L, %s)', :'hosted', a.argument), a.code, a.slug, a.argument)
FROM (VALUES
    ('topic_prefix => ''org_bob''', 'PT403', 'topic_not_allowed'),
    ('topic_prefix => ''org_alicex''', 'PT403', 'topic_not_allowed'),
    ('topic_prefix => ''org''', 'PT403', 'topic_not_allowed'),
    ('topic_prefix => ''''', 'PT400', 'topic_prefix_invalid'),
    ('topic_prefix => ''org_alice/''', 'PT400', 'topic_prefix_invalid'),
    ('topic_prefix => ''/org_alice''', 'PT400', 'topic_prefix_invalid'),
    ('topic_prefix => ''org_alice//x''', 'PT400', 'topic_prefix_invalid'),
    ('topic_prefix => ''org_alice/+''', 'PT400', 'topic_prefix_invalid'),
    ('topic_prefix => ''#''', 'PT400', 'topic_prefix_invalid'),
    ('topic_prefix => ''$SYS''', 'PT400', 'topic_prefix_invalid'),
    ('topic_prefix => repeat(''x'', 513)', 'PT400', 'topic_prefix_invalid'),
    ('publish_filters => ''{org_bob/#}''', 'PT400', 'filter_invalid'),
    ('publish_filters => ''{#}''', 'PT400', 'filter_invalid'),
    ('subscribe_filters => ''{+/x}''', 'PT400', 'filter_invalid'),
    ('subscribe_filters => ''{$share/g/org_alice/#}''', 'PT400', 'filter_invalid'),
    ('subscribe_filters => ''{org_alice/a+}''', 'PT400', 'filter_invalid'),
    ('subscribe_filters => ''{NULL}''', 'PT400', 'filter_invalid'),
    ('subscribe_filters => array_fill(''org_alice/x''::text, ARRAY[101])', 'PT400', 'filter_invalid'),
    ('client_id => ''''', 'PT400', 'client_id_invalid'),
    ('client_id => ''a b''', 'PT400', 'client_id_invalid'),
    ('client_id => repeat(''x'', 65)', 'PT400', 'client_id_invalid'),
    ('expires_at => now()', 'PT400', 'expires_at_invalid'),
    ('max_burst => 0', 'PT400', 'limit_invalid'),
    ('device_id => ''nothing''', 'PT404', 'device_not_found'),
    ('device_id => ''pump'', external_id => ''valve''', 'PT400', 'argument_conflict'),
    ('device_id => ''22222222-0000-4000-8000-000000000030''', 'PT404', 'device_not_found'),
    ('organization_id => ''22222222-0000-4000-8000-000000000001''', 'PT404', 'integration_not_found')
) AS a (argument, code, slug);
SELECT refuses(format('SELECT api.generate_mqtt_credentials(%L)', :'bob_hosted'), 'PT404', 'integration_not_found', 'another organization''s integration');
SELECT refuses('SELECT api.generate_mqtt_credentials(NULL)', 'PT400', 'argument_missing', 'none');

-- The password works at the door, and nothing that is stored shows it.
CREATE FUNCTION pg_temp.logs_in(username text, password text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('request.headers', jsonb_build_object('x-username', username, 'x-password', password, 'x-client-id', username)::text, true);
    RETURN api.mqtt_ingest('org_alice/devices/d/telemetry', '1') ->> 'status' IS NOT DISTINCT FROM 'queued';
END;
$$;
SELECT act_as('anon');
SELECT ok(pg_temp.logs_in(:'username', :'password'), 'the device logs in');
SELECT act_as('authenticated', :'alice');
SELECT ok(bool_and(c::text NOT LIKE '%' || :'password' || '%' AND c ? 'password' IS FALSE), 'get shows no password') FROM api.get_mqtt_credentials() AS c;
SELECT is((SELECT count(*) FROM api.get_mqtt_credentials(:'external')), 2::bigint, 'get by integration');
SELECT is((SELECT count(*) FROM api.get_mqtt_credentials(credential_id => :'id')), 1::bigint, 'get one');
SELECT is((SELECT count(*) FROM api.get_mqtt_credentials(credential_id => :'bob_login')), 0::bigint, 'not another organization''s');
SELECT refuses(format('SELECT api.get_mqtt_credentials(%L)', :'bob_hosted'), 'PT404', 'integration_not_found', 'get by another''s integration');
SELECT refuses(format('SELECT api.get_mqtt_credentials(organization_id => %L)', :'org_bob'), 'PT404', 'organization_not_found', 'get by another organization');

SELECT api.rotate_mqtt_credentials(:'id', '1 hour') ->> 'password' AS second \gset
SELECT r.answer ->> 'password' AS third, coalesce(r.answer ->> 'previous_until', '') AS until FROM api.rotate_mqtt_credentials(:'id') AS r (answer) \gset
SELECT is(:'until'::text, '', 'without grace the old password has no until');
SELECT act_as('anon');
SELECT is(
    ARRAY[pg_temp.logs_in(:'username', :'password'), pg_temp.logs_in(:'username', :'second'), pg_temp.logs_in(:'username', :'third')], '{f,f,t}',
    'without grace only the new password works'
);
SELECT act_as('authenticated', :'alice');
SELECT api.rotate_mqtt_credentials(:'id', '1 hour') ->> 'password' AS fourth \gset
SELECT act_as('anon');
SELECT is(ARRAY[pg_temp.logs_in(:'username', :'third'), pg_temp.logs_in(:'username', :'fourth')], '{t,t}', 'with grace both do');
SELECT act_as('authenticated', :'alice');
SELECT refuses(format('SELECT api.rotate_mqtt_credentials(%L, %L)', :'id', g), 'PT400', 'grace_invalid', g) FROM unnest('{-1 second,31 days}'::text []) AS g;
SELECT refuses(format('SELECT api.%s(%L)', f, :'bob_login'), 'PT404', 'credential_not_found', f || ' of another organization')
FROM unnest('{rotate_mqtt_credentials,revoke_mqtt_credentials}'::text []) AS f;
SELECT is(api.revoke_mqtt_credentials(:'id') ->> 'status', 'revoked', 'revoked');
SELECT is(api.revoke_mqtt_credentials(:'id') ->> 'status', 'revoked', 'once more changes nothing');
SELECT refuses(format('SELECT api.rotate_mqtt_credentials(%L)', :'id'), 'PT409', 'credential_revoked', 'what is revoked stays so');
SELECT act_as('anon');
SELECT is(ARRAY[pg_temp.logs_in(:'username', :'third'), pg_temp.logs_in(:'username', :'fourth')], '{f,f}', 'no password works, in grace or not');

SELECT act_as('authenticated', :'anna');
SELECT refuses(s.statement, 'PT403', 'admin_required', 'a member: ' || s.statement)
FROM (VALUES
    (format('SELECT api.generate_mqtt_credentials(%L)', :'hosted')),
    (format('SELECT api.get_mqtt_credentials(%L)', :'hosted')),
    (format('SELECT api.rotate_mqtt_credentials(%L)', :'pump_login')),
    (format('SELECT api.revoke_mqtt_credentials(%L)', :'pump_login'))
) AS s (statement);
SELECT is((SELECT count(*) FROM api.get_mqtt_credentials()), 0::bigint, 'a member administers none');

-- The credentials endpoint of the replaced system
SELECT act_as('service_role');
SELECT is(length(api.mqtt_hybrid_credentials('generate', :'hosted', :'org_alice') ->> 'password'), 32, 'generate');
SELECT ok(jsonb_array_length(api.mqtt_hybrid_credentials('get', :'hosted', :'org_alice') -> 'credentials') > 1, 'get');
SELECT is(api.mqtt_hybrid_credentials('revoke', :'hosted', :'org_alice', :'pump_login') ->> 'status', 'revoked', 'revoke');
SELECT refuses(format($$SELECT api.mqtt_hybrid_credentials('revoke', %L, %L, %L)$$, :'hosted', :'org_alice', :'bob_login'), 'PT404', 'credential_not_found', 'revoke by the wrong integration');
SELECT refuses(format($$SELECT api.mqtt_hybrid_credentials('revoke', %L)$$, :'hosted'), 'PT400', 'argument_missing', 'revoke none');
SELECT refuses(format($$SELECT api.mqtt_hybrid_credentials('steal', %L)$$, :'hosted'), 'PT400', 'action_invalid', 'an unknown action');
SELECT refuses(format($$SELECT api.mqtt_hybrid_credentials(NULL, %L)$$, :'hosted'), 'PT400', 'action_invalid', 'no action');
SELECT refuses(format($$SELECT api.mqtt_hybrid_credentials('get', %L, %L)$$, :'hosted', :'org_bob'), 'PT404', 'integration_not_found', 'the wrong organization');

SELECT act_as('none');
SELECT ok(
    (SELECT array_agg(DISTINCT a.activity_type) @> '{credential_generated,credential_rotated,credential_revoked}' FROM mqtt.integration_activity_log AS a),
    'its life is in the activity log'
);
SELECT is(
    (
        SELECT count(*)
        FROM (
            SELECT a::text AS line FROM mqtt.integration_activity_log AS a
            UNION ALL
            SELECT c::text FROM mqtt.mqtt_credentials AS c
        ) AS x
        WHERE x.line LIKE ANY (ARRAY['%' || :'password' || '%', '%' || :'second' || '%', '%' || :'third' || '%', '%' || :'fourth' || '%'])
    ), 0::bigint, 'no password is stored anywhere'
);

-- The hosted broker moves, and so does an external one.
UPDATE mqtt.configuration SET hosted_broker_url = 'mqtts://mqtt.example.com:8883';
SELECT act_as('authenticated', :'alice');
SELECT api.upsert_integration(:'org_alice', 'plant', 'mqtt', '{"broker_url": "mqtts://new.example.com"}', :'external') IS NOT NULL AS moved \gset
SELECT is(
    (SELECT array_agg(DISTINCT c.broker_url) FROM api.mqtt_credentials AS c WHERE c.integration_id = :'hosted'), '{mqtts://mqtt.example.com:8883}',
    'credentials of the hosted broker have its new address'
);
SELECT is(
    (SELECT array_agg(DISTINCT c.broker_url) FROM api.mqtt_credentials AS c WHERE c.integration_id = :'external'), '{mqtts://new.example.com:8883}',
    'those of an external one, too'
);
SELECT is((SELECT api.get_mqtt_credentials(credential_id => :'id') ->> 'broker_url'), 'mqtts://mqtt.example.com:8883', 'also as the call lists them');
SELECT * FROM finish();
ROLLBACK;
