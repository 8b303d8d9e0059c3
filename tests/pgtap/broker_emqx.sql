-- EMQX's two questions over HTTP: always an answer, never an error.
\ir setup.psql
SELECT plan(36);
SELECT act_as('service_role');
SELECT api.generate_broker_key('emqx') ->> 'authorization' AS key \gset
SELECT jsonb_build_object('authorization', :'key') AS headers \gset

SELECT act_as('anon');
SELECT is(api.emqx_authenticate('pump_login', :'pump_password', 'pump_login_1')::jsonb, '{"result": "deny", "is_superuser": false, "reason": "broker_unknown"}', 'a stranger is told no');
SELECT is(api.emqx_authorize('pump_login', 'org_alice/x', 'publish', 'pump_login_1')::jsonb, '{"result": "deny", "reason": "broker_unknown"}', 'whatever the question');
SELECT answered('200', 'with 200: at any other status EMQX would go on to what comes next');

SELECT act_as('anon', NULL, :'headers');
SELECT is(api.emqx_authenticate('pump_login', :'pump_password', 'pump_login_1')::jsonb, '{"result": "allow", "is_superuser": false}', 'the device logs in');
SELECT is(api.emqx_authenticate('pump_login', :'pump_password', 'pump_login_1~test') ->> 'result', 'allow', 'and a connection test beside it');
SELECT is(api.emqx_authenticate(c.username, c.password, c.clientid)::jsonb, '{"result": "deny", "is_superuser": false}', c.why)
FROM (VALUES
    ('pump_login', 'wrong', 'pump_login_1', 'a wrong password'), ('pump_login', NULL, 'pump_login_1', 'no password'),
    ('pump_login', :'pump_password', 'other', 'another client id'), ('pump_login', :'pump_password', NULL, 'no client id'),
    ('bob_login', :'pump_password' || 'x', 'bob_login_1', 'another''s name'), ('nobody', :'pump_password', 'nobody', 'an unknown username'), (NULL, NULL, NULL, 'nothing')
) AS c (username, password, clientid, why);
SELECT is(api.emqx_authorize('pump_login', c.topic, c.action, c.clientid) ->> 'result', c.answer, format('%s %s', c.action, c.topic))
FROM (VALUES
    ('org_alice/x', 'publish', 'pump_login_1', 'allow'), ('org_alice/x', 'publish', NULL, 'allow'), ('org_alice/x', 'publish', 'other', 'deny'),
    ('org_alice', 'publish', 'pump_login_1', 'deny'), ('org_alicex/y', 'publish', 'pump_login_1', 'deny'), ('org_bob/x', 'publish', 'pump_login_1', 'deny'),
    ('org_alice/#', 'publish', 'pump_login_1', 'deny'), ('org_alice/#', 'subscribe', 'pump_login_1', 'allow'), ('#', 'subscribe', 'pump_login_1', 'deny'),
    ('+/x', 'subscribe', 'pump_login_1', 'deny'), ('$share/g/org_alice/#', 'subscribe', 'pump_login_1', 'allow'),
    ('$share/g/org_bob/#', 'subscribe', 'pump_login_1', 'deny'), ('org_alice/x', 'all', 'pump_login_1', 'deny'), (NULL, NULL, NULL, 'deny')
) AS c (topic, action, clientid, answer);
SELECT is(api.emqx_authorize('nobody', 'org_alice/x', 'publish') ->> 'result', 'deny', 'an unknown username');

SELECT act_as('none', NULL, :'headers');
UPDATE mqtt.mqtt_credentials SET expires_at = '2100-01-01 00:00:00.9+00' WHERE id = :'pump_login';
SELECT is(api.emqx_authenticate('pump_login', :'pump_password', 'pump_login_1') ->> 'expire_at', '4102444800', 'EMQX is told when to end the session');
UPDATE mqtt.mqtt_credentials SET expires_at = now() WHERE id = :'pump_login';
SELECT is(api.emqx_authenticate('pump_login', :'pump_password', 'pump_login_1') ->> 'result', 'deny', 'expired');
UPDATE mqtt.mqtt_credentials SET expires_at = NULL, revoked_at = now() WHERE id = :'pump_login';
SELECT is(api.emqx_authenticate('pump_login', :'pump_password', 'pump_login_1') ->> 'result', 'deny', 'revoked');
SELECT is(api.emqx_authorize('pump_login', 'org_alice/x', 'publish', 'pump_login_1') ->> 'result', 'deny', 'in a session that is still there too');

-- Before the bridge's first subscription.
SELECT is((SELECT count(*) FROM mqtt.integration_activity_log WHERE activity_type = 'credential_first_used'), 1::bigint, 'the first login is told once');
UPDATE mqtt.mqtt_credentials SET revoked_at = NULL WHERE id = :'pump_login';
INSERT INTO mqtt.mqtt_subscriptions (organization_id, integration_id, topic) VALUES (:'org_alice', :'hosted', 'org_alice/#');
SELECT is(api.emqx_authenticate('pump_login', :'pump_password', 'pump_login_1') ->> 'result', 'deny', 'nobody in before the bridge listens');
SELECT is(api.emqx_authorize('pump_login', 'org_alice/x', 'publish', 'pump_login_1') ->> 'result', 'deny', 'nor may a session that is there already publish');
UPDATE mqtt.mqtt_subscriptions SET granted_qos = 1, status = 'active' WHERE integration_id = :'hosted';
SELECT is(api.emqx_authenticate('pump_login', :'pump_password', 'pump_login_1') ->> 'result', 'allow', 'once it does');
SELECT is(api.emqx_authorize('pump_login', 'org_alice/x', 'publish', 'pump_login_1') ->> 'result', 'allow', 'they are let in, and heard');
SELECT * FROM finish();
ROLLBACK;
