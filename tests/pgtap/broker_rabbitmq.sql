-- Keys of brokers; RabbitMQ's four questions: who may ask, what is answered.
\ir setup.psql
SELECT plan(97);

SELECT act_as('service_role');
SELECT api.generate_broker_key('rabbit') AS made \gset
SELECT act_as('authenticated', :'alice');
SELECT api.generate_broker_key('own', :'external') AS made_own \gset
SELECT matches(:'made'::jsonb ->> 'key', '^[A-Za-z0-9_-]{32}$', 'a key of 32 URL-safe characters');
SELECT is(
    convert_from(decode(substr(:'made'::jsonb ->> 'authorization', 7), 'base64'), 'UTF8'), (:'made'::jsonb ->> 'username') || ':' || (:'made'::jsonb ->> 'key'),
    'and the header that carries it'
);
SELECT is(:'made'::jsonb - '{id,key,username,authorization,created_at}'::text [], '{"name": "rabbit", "vhost": "/", "exchange": "amq.topic", "integration_id": null, "organization_id": null}', 'for the hosted broker');
SELECT is(:'made_own'::jsonb ->> 'integration_id', :'external', 'for a broker of one''s own');
SELECT is(array_agg(k ->> 'name'), '{own}', 'an admin sees those of the organization') FROM api.get_broker_keys() AS k;
SELECT is(count(*), 0::bigint, 'and no key') FROM api.get_broker_keys() AS k WHERE k ?| '{key,key_hash,key_salt}';
SELECT refuses($$SELECT api.generate_broker_key('x')$$, 'PT403', 'integration_required', 'only the operator has the hosted broker''s');
SELECT refuses(format($$SELECT api.generate_broker_key('x', %L)$$, :'bob_external'), 'PT404', 'integration_not_found', 'another organization''s integration');
SELECT refuses(format($$SELECT api.generate_broker_key(%L, %L)$$, n, :'external'), 'PT400', 'name_invalid', 'name: ' || left(n, 9))
FROM unnest(ARRAY['', repeat('x', 201)]) AS n;
SELECT refuses(format($$SELECT api.generate_broker_key('x', %L, vhost => '')$$, :'external'), 'PT400', 'vhost_invalid', 'vhost');
SELECT refuses(format($$SELECT api.generate_broker_key('x', %L, exchange => repeat('x', 256))$$, :'external'), 'PT400', 'exchange_invalid', 'exchange');
SELECT act_as('authenticated', :'anna');
SELECT refuses(format($$SELECT api.generate_broker_key('x', %L)$$, :'external'), 'PT403', 'admin_required', 'a member');
SELECT is(count(*), 0::bigint, 'a member administers none') FROM api.get_broker_keys();
SELECT act_as('authenticated', :'bob');
SELECT refuses(format('SELECT api.revoke_broker_key(%L)', :'made_own'::jsonb ->> 'id'), 'PT404', 'broker_key_not_found', 'another organization''s key');
SELECT refuses(format('SELECT api.revoke_broker_key(%L)', :'made'::jsonb ->> 'id'), 'PT404', 'broker_key_not_found', 'the operator''s key');

-- Who may ask.
CREATE FUNCTION pg_temp.ask(form jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN CASE form ->> 'path'
        WHEN 'user' THEN api.rabbitmq_auth_user(form ->> 'username', form ->> 'password', form ->> 'client_id', form ->> 'vhost')
        WHEN 'vhost' THEN api.rabbitmq_auth_vhost(form ->> 'username', form ->> 'vhost')
        WHEN 'resource' THEN api.rabbitmq_auth_resource(form ->> 'username', form ->> 'vhost', form ->> 'resource', form ->> 'name', form ->> 'permission')
        ELSE api.rabbitmq_auth_topic(form ->> 'username', form ->> 'vhost', 'topic', form ->> 'name', form ->> 'permission', form ->> 'routing_key')
    END;
END;
$$;
SELECT jsonb_build_object('path', 'user', 'username', 'pump_login', 'password', :'pump_password', 'client_id', 'pump_login_1', 'vhost', '/') AS login \gset
SELECT refuses(format('SELECT pg_temp.ask(%L)', :'login'::jsonb || jsonb_build_object('path', c.path)), 'PT401', 'broker_unknown', format('%s: %s', c.path, c.headers))
FROM (
    SELECT p.path, h.headers
    FROM unnest('{user,vhost,resource,topic}'::text []) AS p (path)
    CROSS JOIN (VALUES
        ('{}'::jsonb), ('{"authorization": "Basic"}'), ('{"authorization": "Basic %%%"}'), ('{"authorization": "Basic YTpi"}'),
        (jsonb_build_object('authorization', 'Basic ' || encode(convert_to((:'made'::jsonb ->> 'username') || ':', 'UTF8'), 'base64')))
    ) AS h (headers)
) AS c
CROSS JOIN LATERAL (SELECT count(*) AS done FROM act_as('anon', NULL, c.headers)) AS a
WHERE a.done = 0;

-- What is answered to the hosted broker.
SELECT act_as('anon', NULL, jsonb_build_object('authorization', :'made'::jsonb ->> 'authorization'));
SELECT is(pg_temp.ask(:'login'::jsonb || c.change), c.answer, 'user: ' || c.change::text)
FROM (VALUES
    ('{}'::jsonb, 'allow'), ('{"vhost": null}'::jsonb, 'allow'),
    ('{"password": "wrong"}', 'deny'), ('{"password": null}', 'deny'), ('{"client_id": "other"}', 'deny'), ('{"client_id": null}', 'deny'),
    ('{"vhost": "other"}', 'deny'), ('{"username": "nobody"}', 'deny'), ('{"username": null}', 'deny'), ('{"username": "bob_login"}', 'deny'),
    ('{"username": "pump_login'' OR ''1''=''1"}', 'deny')
) AS c (change, answer);
SELECT is(current_setting('response.headers'), '[{"Content-Type": "text/plain; charset=utf-8"}, {"Cache-Control": "no-store"}]', 'as text that no cache keeps');
SELECT is(pg_temp.ask(jsonb_build_object('path', 'vhost', 'username', c.username, 'vhost', c.vhost)), c.answer, format('vhost %s of %s', c.vhost, c.username))
FROM (VALUES ('pump_login', '/', 'allow'), ('pump_login', 'x', 'deny'), ('nobody', '/', 'deny')) AS c (username, vhost, answer);
SELECT is(
    pg_temp.ask(jsonb_build_object('path', 'resource', 'username', 'pump_login', 'vhost', '/', 'resource', c.kind, 'name', c.name, 'permission', c.permission)),
    c.answer, format('%s %s %s', c.permission, c.kind, c.name)
)
FROM (VALUES
    ('exchange', 'amq.topic', 'write', 'allow'), ('exchange', 'amq.topic', 'read', 'allow'), ('exchange', 'amq.topic', 'configure', 'deny'),
    ('exchange', 'amq.default', 'write', 'deny'), ('exchange', '', 'write', 'deny'),
    ('queue', 'mqtt-subscription-pump_login_1qos1', 'configure', 'allow'), ('queue', 'mqtt-subscription-pump_login_1qos0', 'read', 'allow'),
    ('queue', 'mqtt-subscription-bob_login_1qos1', 'read', 'deny'), ('queue', 'mqtt-subscription-pump_login_1', 'read', 'deny'), ('queue', 'orders', 'read', 'deny')
) AS c (kind, name, permission, answer);
CREATE FUNCTION pg_temp.topic(username text, permission text, routing_key text, exchange text DEFAULT 'amq.topic', vhost text DEFAULT '/') RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.ask(jsonb_build_object('path', 'topic', 'username', username, 'vhost', vhost, 'name', exchange, 'permission', permission, 'routing_key', routing_key))
$$;
SELECT is(pg_temp.topic('pump_login', c.permission, c.routing_key), c.answer, format('%s %s', c.permission, c.routing_key))
FROM (VALUES
    ('write', 'org_alice.x', 'allow'), ('write', 'org_alice.x.y', 'allow'), ('write', 'org_alice', 'deny'), ('write', 'org_alicex.y', 'deny'), ('write', 'org_bob.x', 'deny'),
    ('write', '$SYS.x', 'deny'), ('write', 'org_alice.#', 'deny'), ('write', 'org_alice.*', 'allow'), ('write', NULL, 'deny'),
    ('read', 'org_alice.#', 'allow'), ('read', 'org_alice.*.x', 'allow'), ('read', '#', 'deny'), ('read', '*.x', 'deny'), ('read', 'org_bob.#', 'deny'),
    ('read', 'org_alice.#.x', 'deny'), ('configure', 'org_alice.x', 'deny')
) AS c (permission, routing_key, answer);
SELECT is(pg_temp.topic('pump_login', 'write', 'org_alice.x', 'other'), 'deny', 'another exchange');

-- An external broker's credentials are nothing at the hosted one, and the other way round.
SELECT act_as('none');
UPDATE mqtt.mqtt_credentials SET integration_id = :'external' WHERE id = :'pump_login';
SELECT act_as('anon', NULL, jsonb_build_object('authorization', :'made'::jsonb ->> 'authorization'));
SELECT is(pg_temp.ask(:'login'), 'deny', 'an external broker''s credential at the hosted one');
SELECT act_as('anon', NULL, jsonb_build_object('authorization', :'made_own'::jsonb ->> 'authorization'));
SELECT is(pg_temp.ask(:'login'), 'allow', 'at its own');
SELECT is(pg_temp.ask(:'login'::jsonb || '{"username": "bob_login", "client_id": "bob_login_1"}'), 'deny', 'nobody else''s there');
SELECT act_as('authenticated', :'alice');
SELECT is(api.revoke_broker_key((:'made_own'::jsonb ->> 'id')::uuid) ->> 'name', 'own', 'an admin revokes a key');
SELECT act_as('anon', NULL, jsonb_build_object('authorization', :'made_own'::jsonb ->> 'authorization'));
SELECT refuses(format('SELECT pg_temp.ask(%L)', :'login'), 'PT401', 'broker_unknown', 'which then opens nothing');

-- Ended credentials.
SELECT act_as('none');
UPDATE mqtt.mqtt_credentials SET integration_id = :'hosted' WHERE id = :'pump_login';
SELECT act_as('anon', NULL, jsonb_build_object('authorization', :'made'::jsonb ->> 'authorization'));
CREATE FUNCTION pg_temp.answers(login jsonb) RETURNS text [] LANGUAGE sql AS $$
    SELECT ARRAY[pg_temp.ask(login), pg_temp.ask(login || '{"path": "vhost"}'), pg_temp.topic('pump_login', 'write', 'org_alice.x')]
$$;
SELECT is(pg_temp.answers(:'login'), '{allow,allow,allow}', 'back again');
SELECT act_as('none', NULL, jsonb_build_object('authorization', :'made'::jsonb ->> 'authorization'));
UPDATE mqtt.mqtt_credentials SET revoked_at = now() WHERE id = :'pump_login';
SELECT is(pg_temp.answers(:'login'), '{deny,deny,deny}', 'revoked');
UPDATE mqtt.mqtt_credentials SET revoked_at = NULL, expires_at = now() WHERE id = :'pump_login';
SELECT is(pg_temp.answers(:'login'), '{deny,deny,deny}', 'expired');
UPDATE mqtt.mqtt_credentials SET expires_at = NULL, can_publish = false WHERE id = :'pump_login';
SELECT is(pg_temp.answers(:'login'), '{allow,allow,deny}', 'subscribe-only');
UPDATE mqtt.mqtt_credentials SET can_publish = true WHERE id = :'pump_login';
UPDATE mqtt.device_integrations SET status = 'inactive' WHERE id = :'hosted';
SELECT is(pg_temp.answers(:'login'), '{deny,deny,deny}', 'a switched-off integration');

-- What a device published before the bridge's first subscription would be acknowledged and lost.
UPDATE mqtt.device_integrations SET status = 'active' WHERE id = :'hosted';
DELETE FROM mqtt.wrong_passwords;
INSERT INTO mqtt.mqtt_subscriptions (organization_id, integration_id, topic) VALUES (:'org_alice', :'hosted', 'org_alice/#');
SELECT is(pg_temp.answers(:'login'), '{deny,allow,deny}', 'neither login nor publish before the bridge''s first subscription is granted');
SELECT is(pg_temp.topic('pump_login', 'read', 'org_alice.x'), 'allow', 'listening loses nothing');
SELECT is((SELECT count(*) FROM mqtt.wrong_passwords), 0::bigint, 'and it is no wrong password');
UPDATE mqtt.mqtt_subscriptions SET is_paused = true WHERE integration_id = :'hosted';
SELECT is(pg_temp.answers(:'login'), '{allow,allow,allow}', 'one that is paused is not waited for');
UPDATE mqtt.mqtt_subscriptions SET is_paused = false, granted_qos = 1, status = 'active' WHERE integration_id = :'hosted';
INSERT INTO mqtt.mqtt_subscriptions (organization_id, integration_id, topic) VALUES (:'org_alice', :'hosted', 'org_alice/x/#');
SELECT is(pg_temp.answers(:'login'), '{allow,allow,allow}', 'nor are others than the first');
INSERT INTO mqtt.mqtt_subscriptions (organization_id, integration_id, topic) VALUES (:'org_alice', :'external', 'y/#');
UPDATE mqtt.mqtt_credentials SET integration_id = :'external' WHERE id = :'pump_login';
INSERT INTO mqtt.broker_keys (organization_id, integration_id, name, username, key_salt, key_hash)
SELECT :'org_alice', :'external', 'own', 'own', k.key_salt, k.key_hash FROM mqtt.broker_keys AS k WHERE k.id = (:'made'::jsonb ->> 'id')::uuid;
SELECT act_as('none', NULL, jsonb_build_object(
    'authorization', 'Basic ' || translate(encode(convert_to('own:' || (:'made'::jsonb ->> 'key'), 'UTF8'), 'base64'), E'\n', '')
));
SELECT is(pg_temp.ask(:'login'), 'allow', 'at a broker of one''s own it is not the bridge that devices wait for');

-- The first login is in the activity log.
SELECT results_eq(
    $$SELECT organization_id, integration_id, status, details FROM mqtt.integration_activity_log WHERE activity_type = 'credential_first_used'$$,
    format(
        $$VALUES (%L::uuid, %L::uuid, 'success', jsonb_build_object('credential_id', %L, 'username', 'pump_login', 'via', 'broker'))$$,
        :'org_alice', :'hosted', :'pump_login'
    ), 'a credential''s first login is told, and no later one is'
);
UPDATE mqtt.mqtt_credentials SET broker_login_at = NULL WHERE id = :'pump_login';
SELECT is(pg_temp.ask(:'login'::jsonb || '{"client_id": "other"}'), 'deny', 'a login that is refused');
SELECT is((SELECT c.broker_login_at FROM mqtt.mqtt_credentials AS c WHERE c.id = :'pump_login'), NULL, 'is none');
SELECT * FROM finish();
ROLLBACK;
