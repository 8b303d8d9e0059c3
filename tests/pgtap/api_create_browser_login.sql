-- api.create_browser_login: grants, what the login may do, each documented error, its bounds.
\ir setup.psql
SELECT plan(20);
SELECT is(has_function_privilege('anon', 'api.create_browser_login(uuid, text [], interval, uuid)', 'execute'), false, 'not for anon');

SELECT act_as('authenticated', :'anna');
SELECT api.create_browser_login(:'hosted') AS made \gset
SELECT :'made'::jsonb ->> 'id' AS made_id \gset
SELECT is(
    :'made'::jsonb @> jsonb_build_object('can_publish', false, 'can_subscribe', true, 'topic_prefix', 'org_alice', 'member_id', :'anna', 'device_id', NULL),
    true, 'listens to what the member may read'
);
SELECT matches(:'made'::jsonb ->> 'password', '^[A-Za-z0-9_-]{32}$', 'with a password');
SELECT is(:'made'::jsonb ->> 'client_id', :'made'::jsonb ->> 'username', 'and a client id of its own');
SELECT is((:'made'::jsonb ->> 'expires_at')::timestamptz BETWEEN now() + interval '59 min' AND now() + interval '61 min', true, 'for an hour');
SELECT is(current_setting('response.headers'), '[{"Cache-Control": "no-store"}]', 'no cache may keep the answer');
SELECT is(
    api.create_browser_login(:'hosted', '{org_alice/devices/+/telemetry}') -> 'subscribe_filters', '["org_alice/devices/+/telemetry"]', 'narrowed to filters'
);

SELECT refuses(format('SELECT api.create_browser_login(%s)', a.arguments), a.code, a.slug, a.arguments)
FROM (VALUES
    (format('%L, ''{org_bob/#}''', :'hosted'), 'PT400', 'filter_invalid'),
    (format('%L, lifetime => ''59 seconds''', :'hosted'), 'PT400', 'lifetime_invalid'),
    (format('%L, lifetime => ''25 hours''', :'hosted'), 'PT400', 'lifetime_invalid'),
    (format('%L, lifetime => NULL', :'hosted'), 'PT400', 'lifetime_invalid'),
    (format('%L', :'external'), 'PT400', 'not_hosted'),
    (format('%L', :'bob_hosted'), 'PT404', 'integration_not_found')
) AS a (arguments, code, slug);
SELECT act_as('service_role');
SELECT refuses(format('SELECT api.create_browser_login(%L)', :'hosted'), 'PT403', 'member_required', 'who is no member');

-- The member's newest ones work; those of others are not counted.
SELECT act_as('none');
UPDATE mqtt.configuration SET max_browser_logins = 2;
UPDATE mqtt.mqtt_credentials SET revoked_at = now() - interval '2 days' WHERE id = :'made_id';
SELECT act_as('authenticated', :'alice');
SELECT api.create_browser_login(:'hosted') AS made \gset
SELECT act_as('authenticated', :'anna');
SELECT max(api.create_browser_login(:'hosted')::text) AS made FROM generate_series(1, 3) \gset
SELECT act_as('none');
SELECT results_eq(
    'SELECT member_id, count(*) FILTER (WHERE revoked_at IS NULL), count(*) FROM mqtt.mqtt_credentials WHERE member_id IS NOT NULL GROUP BY 1 ORDER BY 3',
    format('VALUES (%L::uuid, 1::bigint, 1::bigint), (%L::uuid, 2::bigint, 4::bigint)', :'alice', :'anna'),
    'the oldest end, and those that ended long ago are deleted'
);
UPDATE mqtt.configuration SET max_logins = 1;
SELECT act_as('authenticated', :'anna');
SELECT refuses(format('SELECT api.create_browser_login(%L)', :'hosted'), 'PT409', 'login_limit_reached', 'beyond the organization''s limit');
SELECT act_as('authenticated', :'alice');
SELECT refuses(format('SELECT api.generate_mqtt_credentials(%L)', :'hosted'), 'PT409', 'login_limit_reached', 'for devices, too');
SELECT act_as('authenticated', :'bob');
SELECT refuses(format('SELECT api.generate_mqtt_credentials(%L)', :'bob_hosted'), 'PT409', 'login_limit_reached', 'each organization for itself');
SELECT act_as('none');
UPDATE mqtt.mqtt_credentials SET expires_at = now() WHERE organization_id = :'org_bob';
SELECT act_as('authenticated', :'bob');
SELECT isnt(api.generate_mqtt_credentials(:'bob_hosted') ->> 'username', NULL, 'logins that have ended do not count');
SELECT act_as('none');
DELETE FROM mqtt.organization_members WHERE user_id = :'anna';
SELECT is((SELECT count(*)::integer FROM mqtt.mqtt_credentials WHERE member_id = :'anna'), 0, 'they end with the membership');
SELECT * FROM finish();
ROLLBACK;
