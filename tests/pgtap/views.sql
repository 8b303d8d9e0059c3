-- The views of api: a member sees their organization's rows and no other's, and no secret.
\ir setup.psql
CREATE TABLE tap.view_name AS SELECT c.relname::text AS name FROM pg_catalog.pg_class AS c WHERE c.relnamespace = 'api'::regnamespace AND c.relkind = 'v';
GRANT SELECT ON tap.view_name TO public;
SELECT plan(12 + 4 * (SELECT count(*) FROM view_name)::integer);
UPDATE mqtt.configuration SET sealing_public_key = decode(repeat('09', 32), 'hex');
UPDATE mqtt.device_integrations SET settings = settings || jsonb_build_object('password', jsonb_build_object('sealed', translate(encode(repeat('x', 60)::bytea, 'base64'), E'\n', '')))
WHERE integration_type <> 'mqtt_hosted';
INSERT INTO mqtt.mqtt_subscriptions (organization_id, integration_id, topic) VALUES (:'org_alice', :'external', 'a/#'), (:'org_bob', :'bob_external', 'b/#');
INSERT INTO mqtt.mqtt_messages (measured_at, position, organization_id, id, integration_id, device_id, direction, topic, message_type, payload, body)
VALUES
    (now(), 1, :'org_alice', gen_random_uuid(), :'hosted', :'pump', 'incoming', 'org_alice/devices/pump/telemetry', 'telemetry', '{"t": 1}', NULL),
    (now(), 2, :'org_alice', gen_random_uuid(), :'hosted', NULL, 'outgoing', 'org_alice/other', NULL, 'null', decode(repeat('00ff', 50), 'hex')),
    (now(), 3, :'org_bob', gen_random_uuid(), :'bob_hosted', :'bob_pump', 'incoming', 'org_bob/devices/pump/telemetry', 'telemetry', '{"t": 2}', NULL);
INSERT INTO mqtt.mqtt_dead_letters (organization_id, id, integration_id, direction, attempts, received_at, topic, message, error_message)
VALUES (:'org_alice', gen_random_uuid(), :'hosted', 'incoming', 3, now(), 'x', '{}', 'x'), (:'org_bob', gen_random_uuid(), :'bob_hosted', 'incoming', 3, now(), 'x', '{}', 'x');
INSERT INTO mqtt.integration_activity_log (organization_id, activity_type, status) VALUES (:'org_alice', 'x', 'success'), (:'org_bob', 'x', 'success');
INSERT INTO mqtt.mqtt_publish_receipts (queued_at, organization_id, id, integration_id, qos, attempts, state, topic)
VALUES (now(), :'org_alice', gen_random_uuid(), :'external', 0, 1, 'sent', 'x'), (now(), :'org_bob', gen_random_uuid(), :'bob_external', 0, 1, 'sent', 'x');

INSERT INTO mqtt.payload_rules (organization_id, integration_id, position, topic, role)
VALUES (:'org_alice', :'hosted', 10, '#', 'ignore'), (:'org_bob', :'bob_hosted', 10, '#', 'ignore');
INSERT INTO mqtt.mqtt_callback_deliveries (organization_id, subscription_id, message_id, received_at)
SELECT s.organization_id, s.id, gen_random_uuid(), now() FROM mqtt.mqtt_subscriptions AS s;

-- Which organizations' rows each kind of caller sees in each view that there is
CREATE FUNCTION tap.owners(view text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_owners text;
BEGIN
    EXECUTE format(
        'SELECT string_agg(DISTINCT left(x.owner::text, 2), %L ORDER BY left(x.owner::text, 2)) FROM (SELECT %I AS owner FROM api.%I) AS x',
        ' ', CASE view WHEN 'organizations' THEN 'id' ELSE 'organization_id' END, view
    ) INTO v_owners;
    RETURN v_owners;
END;
$$;
GRANT EXECUTE ON FUNCTION tap.owners(text) TO public;
SELECT act_as('authenticated', :'anna');
SELECT is(owners(v.name), '11', 'a member of one organization: ' || v.name) FROM view_name AS v ORDER BY v.name;
SELECT act_as('authenticated', :'bob');
SELECT is(owners(v.name), '22', 'a member of another: ' || v.name) FROM view_name AS v ORDER BY v.name;
SELECT act_as('authenticated', :'nobody');
SELECT is(owners(v.name), NULL, 'a member of none: ' || v.name) FROM view_name AS v ORDER BY v.name;
SELECT act_as('service_role');
SELECT is(owners(v.name), '11 22', 'service_role: ' || v.name) FROM view_name AS v ORDER BY v.name;
SELECT act_as('anon');
SELECT is((SELECT count(*) FROM view_name AS v WHERE has_table_privilege('anon', 'api.' || v.name, 'select, insert, update, delete')), 0::bigint, 'anon: none');
SELECT is((SELECT count(*) FROM view_name AS v WHERE has_table_privilege('authenticated', 'api.' || v.name, 'insert, update, delete')), 0::bigint, 'nobody writes through a view');

SELECT act_as('authenticated', :'anna');
SELECT is((SELECT o.role FROM api.organizations AS o), 'member', 'what one is in an organization');
SELECT is(
    (SELECT i.settings FROM api.device_integrations AS i WHERE i.id = :'external') - '{port,protocol,use_tls}'::text [],
    '{"broker_url": "broker.example.com", "has_password": true}', 'settings without the secret'
);
SELECT is((SELECT m.message_type FROM api.mqtt_messages AS m WHERE m.device_id = :'pump'), 'telemetry', 'the message type');
SELECT is((SELECT m.message_type || coalesce(m.device_id::text, '') FROM api.mqtt_messages AS m WHERE m.device_id IS NULL), NULL, 'none where the topic does not fit the pattern');
SELECT is((SELECT decode(m.body, 'base64') FROM api.mqtt_messages AS m WHERE m.direction = 'outgoing'), decode(repeat('00ff', 50), 'hex'), 'bytes in base64');
SELECT is((SELECT m.body LIKE E'%\n%' FROM api.mqtt_messages AS m WHERE m.direction = 'outgoing'), false, 'on one line');
SELECT is((SELECT c.status FROM api.mqtt_credentials AS c WHERE c.id = :'pump_login'), 'active', 'a login that is good');
SELECT act_as('none');
UPDATE mqtt.mqtt_credentials SET expires_at = now() - interval '1 second' WHERE id = :'pump_login';
SELECT is((SELECT c.status FROM api.mqtt_credentials AS c WHERE c.id = :'pump_login'), 'expired', 'one that has ended');
UPDATE mqtt.mqtt_credentials SET revoked_at = now() WHERE id = :'pump_login';
SELECT is((SELECT c.status FROM api.mqtt_credentials AS c WHERE c.id = :'pump_login'), 'revoked', 'one that was revoked');
SELECT act_as('authenticated', :'anna');
SELECT throws_ok('SELECT secret_hash FROM mqtt.mqtt_credentials', '42501', NULL, 'no verifier, not even from the table');
SELECT * FROM finish();
ROLLBACK;
