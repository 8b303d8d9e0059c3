-- mqtt.set_aside_outbound: who may, what it takes and what it leaves, with no bridge and with one.
\ir setup.psql
SELECT plan(11);
SELECT function_privs_are('mqtt', 'set_aside_outbound', ARRAY['integer'], r, ARRAY[]::text [], r || ' may not')
FROM unnest('{anon,authenticated,service_role,mqtt_bridge}'::text []) AS r;
SELECT act_as('authenticated', :'anna');
SELECT api.mqtt_publish(:'external', format('[
    {"topic": "a", "payload": 1}, {"topic": "a", "payload": 2}, {"topic": "a", "payload": 3}, {"topic": "a", "payload": 4},
    {"topic": "a", "payload": 5, "deliver_at": %s}
]', to_json(now() + interval '1 day'))::json) AS answer \gset
SELECT act_as('none');
-- The third was tried without an answer and waits for its next attempt; the fourth was claimed by a bridge that is no more.
UPDATE pgmq.q_mqtt_outbound AS q SET vt = now() + interval '1 hour', attempts = 1 WHERE q.message -> 'payload' = '3';
INSERT INTO mqtt.outbound_batches (organization_id, integration_id, bridge_id, msg_ids)
SELECT q.organization_id, q.integration_id, gen_random_uuid(), ARRAY[q.msg_id] FROM pgmq.q_mqtt_outbound AS q WHERE q.message -> 'payload' = '4';

INSERT INTO mqtt.bridges (id, name, version, main_pid) VALUES (:'unknown', 'one', '1', pg_backend_pid());
SELECT pg_advisory_lock(mqtt.bridge_lock(:'unknown'));
SELECT throws_ok('SELECT mqtt.set_aside_outbound()', 'PT409', 'bridges_connected', 'not while a bridge runs');
SELECT pg_advisory_unlock(mqtt.bridge_lock(:'unknown'));

SELECT is(mqtt.set_aside_outbound(2), 4::bigint, 'what was due or tried before is set aside, in batches');
SELECT is((SELECT array_agg(q.message -> 'payload') FROM pgmq.q_mqtt_outbound AS q), '{5}', 'what is scheduled for later stays');
SELECT is(
    (SELECT array_agg(d.message -> 'payload' ORDER BY d.message -> 'payload') FROM mqtt.mqtt_dead_letters AS d WHERE d.error_message ~ 'after a restore'),
    '{1,2,3,4}', 'the others are dead letters'
);
SELECT is((SELECT count(*) FROM mqtt.outbound_batches), 0::bigint, 'no claim is left');
SELECT act_as('authenticated', :'anna');
SELECT is((SELECT r.state FROM api.get_mqtt_publish_receipts(ARRAY[(:'answer'::jsonb #>> '{receipts,0,receipt_id}')::uuid]) AS r), 'failed', 'whose receipts say so');
SELECT act_as('service_role');
SELECT is(
    (api.replay_mqtt_dead_letters(:'org_alice', error => 'after a restore') ->> 'replayed')::integer, 4, 'and which can be sent after all'
);
SELECT * FROM finish();
ROLLBACK;
