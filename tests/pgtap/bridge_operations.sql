-- What an operator asks and does through the bridge's role: status, gauges, diagnosis, sealing to a new key; and status_topic.
\ir setup.psql
SELECT plan(51);
\set one 'aaaaaaaa-0000-4000-8000-000000000001'
\set two 'aaaaaaaa-0000-4000-8000-000000000002'
DELETE FROM mqtt.bridges;

-- Status
SELECT act_as('mqtt_bridge');
SELECT is(bridge.status() -> 'bridges', '[]', 'no bridge');
SELECT is(jsonb_array_length(bridge.status() -> 'integrations'), 4, 'all integrations are listed');
SELECT lives_ok(format($$SELECT bridge.hello(%L, 'host:1', '1', 1)$$, :'one'), 'one comes');
SELECT is(bridge.take_integrations(:'one'), 4, 'and takes them');
SELECT act_as('none');
INSERT INTO mqtt.bridges (id, name, version, main_pid) VALUES (:'two', 'host:2', '1', 1);
UPDATE mqtt.device_integrations SET status = 'error', status_detail = 'connection refused' WHERE id = :'external';
UPDATE mqtt.bridge_leases SET bridge_id = :'two' WHERE integration_id = :'bob_hosted';
SELECT act_as('mqtt_bridge');
CREATE TEMPORARY TABLE seen AS SELECT bridge.status() AS s;
SELECT is(
    (SELECT jsonb_object_agg(b ->> 'name', b -> 'is_live') FROM seen, jsonb_array_elements(s -> 'bridges') AS b),
    '{"host:1": true, "host:2": false}', 'a bridge lives while its session holds the lock on its id'
);
SELECT is(
    (SELECT jsonb_object_agg(i ->> 'id', i -> 'bridge') FROM seen, jsonb_array_elements(s -> 'integrations') AS i),
    jsonb_build_object(:'hosted', 'host:1', :'external', 'host:1', :'bob_external', 'host:1', :'bob_hosted', NULL),
    'who holds what; what a bridge that is gone held, nobody does'
);
SELECT is(
    (SELECT i ->> 'reason' FROM seen, jsonb_array_elements(s -> 'integrations') AS i WHERE i ->> 'id' = :'external'), 'connection refused', 'and why not'
);
SELECT is((SELECT s #> '{queues,outbound}' FROM seen), '{"messages": 0, "oldest_seconds": null}', 'empty queues have no age');
SELECT is((SELECT s #> '{queues,ingest}' FROM seen), '{"messages": 0, "oldest_seconds": null}', 'neither has');

-- Queues
SELECT act_as('none');
INSERT INTO pgmq.q_mqtt_outbound (vt, message, organization_id, integration_id)
VALUES (now() + interval '1 day', '{"topic": "later"}', :'org_alice', :'external');
SELECT is((SELECT d.oldest_seconds FROM mqtt.queue_depths() AS d WHERE d.queue = 'outbound'), NULL, 'what is scheduled is not late');
INSERT INTO pgmq.q_mqtt_outbound (vt, message, organization_id, integration_id)
VALUES (now() - interval '100 s', '{"topic": "late"}', :'org_alice', :'external');
INSERT INTO pgmq.q_mqtt_messages (enqueued_at, vt, message, organization_id, integration_id)
VALUES (now() - interval '200 s', now(), '{"topic": "a"}', :'org_alice', :'hosted');
SELECT mqtt.count_accepted(:'org_alice', 1) \g /dev/null
SELECT act_as('mqtt_bridge');
CREATE TEMPORARY TABLE gauges AS SELECT bridge.gauges() AS g;
SELECT is((SELECT g #> '{queues,outbound,messages}' FROM gauges), '2', 'depth');
SELECT ok((SELECT (g #>> '{queues,outbound,oldest_seconds}')::float8 BETWEEN 100 AND 160 FROM gauges), 'age of the oldest that is due');
SELECT is((SELECT g #> '{queues,ingest,messages}' FROM gauges), '1', 'depth, from the books');
SELECT ok((SELECT (g #>> '{queues,ingest,oldest_seconds}')::float8 BETWEEN 200 AND 260 FROM gauges), 'age');
SELECT is((SELECT g -> 'ingest_is_open' FROM gauges), 'true', 'ingest is open');
SELECT act_as('none');

-- Diagnosis
SELECT is((SELECT count(*) FROM mqtt.surplus_privileges('mqtt_bridge')), 0::bigint, 'the bridge''s role can do no more than it needs');
SELECT isnt_empty($$SELECT * FROM mqtt.surplus_privileges(session_user) AS s WHERE s = 'has BYPASSRLS'$$, 'a superuser can');
SELECT isnt_empty($$SELECT * FROM mqtt.surplus_privileges('service_role') AS s WHERE s LIKE 'may use table mqtt.%'$$, 'and reads tables');
SELECT isnt_empty($$SELECT * FROM mqtt.surplus_privileges('service_role') AS s WHERE s LIKE 'may call api.%'$$, 'and calls the API');
SELECT isnt_empty($$SELECT * FROM mqtt.surplus_privileges('authenticator') AS s WHERE s = 'is a member of service_role'$$, 'or may become another');
SELECT is_empty($$SELECT d.parent FROM mqtt.days_without_partition() AS d WHERE d.days_ahead < 7$$, 'partitions are ready');
SELECT is(mqtt.maintenance_jobs(), 0, 'no pg_cron here');
SELECT ok((bridge.diagnose() ->> 'waiting_seconds')::float8 >= 200, 'how long the oldest message has waited, which tells whether anybody works');
SELECT is(bridge.diagnose() -> 'vacuum_holders', '[]', 'nothing holds vacuum back, not even this session');
SELECT is(bridge.diagnose() -> 'missing_privileges', '[]', 'a superuser misses nothing');
SELECT is(bridge.diagnose() ->> 'schema_version', '1', 'the version that hello wants');

-- Sealing to a new key
SELECT translate(encode(repeat(x, 60)::bytea, 'base64'), E'\n', '') AS box FROM (VALUES ('x')) AS v (x) \gset
SELECT is(mqtt.sealing_key_id(decode(repeat('00', 32), 'hex')), '66687aadf862bd77', 'a key is named by its SHA-256');
UPDATE mqtt.configuration SET sealing_public_key = decode(repeat('01', 32), 'hex');
SELECT mqtt.sealing_key_id(decode(repeat('01', 32), 'hex')) AS key \gset
UPDATE mqtt.device_integrations AS i SET settings = i.settings || jsonb_build_object('password', jsonb_build_object('sealed', :'box')) WHERE i.id = :'external';
SELECT is((SELECT i.settings -> 'password' FROM mqtt.device_integrations AS i WHERE i.id = :'external'), jsonb_build_object('sealed', :'box'), 'a box without a key id is taken');
SELECT refuses(
    format($$UPDATE mqtt.device_integrations AS i SET settings = i.settings || jsonb_build_object('password', jsonb_build_object('sealed', %L, 'key', %L)) WHERE i.id = %L$$, :'box', k, :'bob_external'),
    'PT400', 'setting_invalid', format('key id %s', k), 'settings.password %'
)
FROM unnest('{nothing,ABCDEF0123456789}'::text []) AS k;
SELECT act_as('mqtt_bridge');
SELECT is(bridge.sealing_state(), jsonb_build_object('public_key', translate(encode(decode(repeat('01', 32), 'hex'), 'base64'), E'\n', ''), 'key', :'key', 'sealed', '{"": 1}'::jsonb), 'state');
SELECT results_eq(
    $$SELECT place, id::text FROM bridge.sealed_otherwise('', '00000000-0000-0000-0000-000000000000', 10)$$,
    format($$VALUES ('device_integrations.settings.password', %L)$$, :'external'), 'what is not sealed to the present key'
);
SELECT jsonb_build_object('sealed', :'box', 'key', :'key') AS new, jsonb_build_object('sealed', :'box') AS old \gset
SELECT refuses(
    format($$SELECT bridge.reseal(ARRAY['device_integrations.settings.password'], ARRAY[%L]::uuid [], ARRAY[%L]::jsonb [], ARRAY[%L]::jsonb [])$$, :'external', :'old', :'old'),
    'PT409', 'sealing_key_changed', 'not to another key'
);
SELECT act_as('none');
-- What would be refused today does not stand in the way.
ALTER TABLE mqtt.device_integrations DISABLE TRIGGER a_check;
UPDATE mqtt.device_integrations AS i SET settings = i.settings || '{"broker_url": "10.0.0.1"}' WHERE i.id = :'external';
ALTER TABLE mqtt.device_integrations ENABLE TRIGGER a_check;
SELECT act_as('mqtt_bridge');
SELECT is(
    bridge.reseal('{device_integrations.settings.password}', ARRAY[:'external']::uuid [], ARRAY[:'old']::jsonb [], ARRAY[:'new']::jsonb []), 1, 'replaced'
);
SELECT is(
    bridge.reseal('{device_integrations.settings.password}', ARRAY[:'external']::uuid [], ARRAY[:'old']::jsonb [], ARRAY[:'new']::jsonb []), 0, 'once'
);
SELECT is(bridge.sealing_state() -> 'sealed', jsonb_build_object(:'key', 1), 'nothing else is left');
SELECT act_as('none');
SELECT is(
    mqtt.is_resealed('{"a": 1, "password": {"sealed": "x"}}', '{"a": 1}'), false, 'a secret that goes is no new box'
);

-- Secrets of webhooks too
INSERT INTO mqtt.mqtt_subscriptions (organization_id, integration_id, topic, qos, callback_url)
VALUES (:'org_alice', :'external', 'hooked', 1, 'https://hook.example.com/') RETURNING id AS hooked \gset
INSERT INTO mqtt.callback_secrets (organization_id, subscription_id, sealed, previous, previous_until) VALUES (:'org_alice', :'hooked', :'old', :'old', 'infinity');
SELECT act_as('mqtt_bridge');
SELECT results_eq(
    $$SELECT place FROM bridge.sealed_otherwise('', '00000000-0000-0000-0000-000000000000', 10)$$,
    $$VALUES ('callback_secrets.previous'), ('callback_secrets.sealed')$$, 'they are found'
);
SELECT is(
    bridge.reseal(
        '{callback_secrets.sealed,callback_secrets.previous}', ARRAY[:'hooked', :'hooked']::uuid [], ARRAY[:'new', :'old']::jsonb [], ARRAY[:'new', :'new']::jsonb []
    ), 1, 'one has changed meanwhile, the other is replaced'
);
SELECT is(
    bridge.reseal('{callback_secrets.sealed}', ARRAY[:'hooked']::uuid [], ARRAY[:'old']::jsonb [], ARRAY[:'new']::jsonb []), 1, 'and it too, by its own name'
);
SELECT is(bridge.sealing_state() -> 'sealed', jsonb_build_object(:'key', 3), 'nothing else is left');
SELECT act_as('none');

-- Sessions at the hosted Mosquitto
INSERT INTO mqtt.mqtt_credentials (
    organization_id, integration_id, username, client_id, topic_prefix, secret_salt, secret_hash, mosquitto_hash, bcrypt_hash
)
SELECT c.organization_id, :'external', 'elsewhere', 'elsewhere', 'x', c.secret_salt, c.secret_hash, c.mosquitto_hash, c.bcrypt_hash
FROM mqtt.mqtt_credentials AS c WHERE c.username = 'pump_login';
SELECT act_as('mqtt_bridge');
SELECT is(bridge.count_sessions('{pump_login,nobody,elsewhere}', '{3,2,1}', ARRAY[1000, 1000, 1000]::double precision []), 1, 'of one login, and not one of another broker');
SELECT is(bridge.count_sessions('{pump_login}', '{2}', ARRAY[900]::double precision []), 1, 'and again');
SELECT is(bridge.count_sessions('{}', '{}', '{}'), 0, 'none');
SELECT act_as('none');
SELECT results_eq(
    $$SELECT c.connection_count, c.last_connected_at FROM mqtt.mqtt_credentials AS c WHERE c.username = 'pump_login'$$,
    $$VALUES (5::bigint, to_timestamp(1000))$$, 'are connections, and the last one is remembered'
);
SELECT is(
    (SELECT jsonb_agg(a.details -> 'via') FROM mqtt.integration_activity_log AS a WHERE a.activity_type = 'credential_first_used'), '["broker"]', 'the first is logged'
);
SELECT is((SELECT c.connection_count FROM mqtt.mqtt_credentials AS c WHERE c.username = 'elsewhere'), 0::bigint, 'what its own broker does, it does not tell');

-- status_topic
SELECT is(mqtt.setting_reason('status_topic', '"plant/bridge"'), NULL, 'a topic name');
SELECT ok(mqtt.setting_reason('status_topic', f) IS NOT NULL, 'not ' || f::text) FROM unnest('{"\"a/#\"","\"$SYS/x\"","7"}'::jsonb []) AS f;
SELECT * FROM finish();
ROLLBACK;
