-- What is left in the outbound queue, or in the journal of claims, by calls that nobody heard of: it ends.
\ir setup.psql
SELECT plan(15);
\set one 'aaaaaaaa-0000-4000-8000-000000000001'
\set two 'aaaaaaaa-0000-4000-8000-000000000002'
DELETE FROM mqtt.bridges;
INSERT INTO mqtt.bridges (id, name, version, main_pid) VALUES (:'one', 'host:1', '1', 1), (:'two', 'host:2', '1', 2);
INSERT INTO mqtt.bridge_leases (organization_id, integration_id, bridge_id) VALUES (:'org_alice', :'external', :'one'), (:'org_bob', :'bob_external', :'two');

-- Claims whose answer was lost
SELECT act_as('service_role');
SELECT api.mqtt_publish(:'external', '[{"topic": "a", "payload": 1, "message_expiry": 100}]') #>> '{receipts,0,receipt_id}' AS receipt \gset
SELECT api.mqtt_publish(:'bob_external', '[{"topic": "b", "payload": 1}]') \g /dev/null
SELECT act_as('mqtt_bridge');
SELECT count(*) FROM bridge.claim_outbound(:'two', ARRAY[:'bob_external']::uuid [], '{10}') \g /dev/null
SELECT max(c.batch_id) AS lost FROM bridge.claim_outbound(:'one', ARRAY[:'external']::uuid [], '{10}') AS c \gset
SELECT max(c.batch_id) AS known, max(c.msg_id) AS message FROM bridge.claim_outbound(:'one', ARRAY[:'external']::uuid [], '{10}') AS c \gset
SELECT isnt(:known::bigint, :lost::bigint, 'what was lost is claimed again at once');
SELECT bridge.settle_outbound(:'one', '{}', '{}', '{}', '{}', ARRAY[:known]) \g /dev/null
SELECT act_as('service_role');
SELECT is((SELECT c.state FROM api.cancel_mqtt_publish(ARRAY[:'receipt']::uuid []) AS c), 'queued', 'put back, it cannot be cancelled');
SELECT act_as('mqtt_bridge');
SELECT is(bridge.forget_batches(:'one', ARRAY[:lost]), 0, 'what the bridge knows of stays');
SELECT is(bridge.forget_batches(:'one', ARRAY[:known]), 1, 'the rest ends');
SELECT act_as('none');
SELECT results_eq('SELECT b.bridge_id FROM mqtt.outbound_batches AS b', ARRAY[:'two'::uuid], 'another bridge''s claims are its own');
UPDATE pgmq.q_mqtt_outbound SET expires_at = now() WHERE msg_id = :message;
SELECT act_as('mqtt_bridge');
SELECT is(bridge.expire_outbound(), 1, 'and the message expires');
SELECT is(bridge.forget_batches(:'two', '{}'), 1, 'a bridge may know of none');
SELECT act_as('none');

-- Publishing beside a deletion, which does not see what is not committed
SELECT is(mqtt.cancel_orphans(), 0::bigint, 'nothing is orphaned');
SELECT act_as('service_role');
SELECT api.mqtt_publish(:'external', '[{"topic": "a", "payload": 1, "qos": 1}, {"topic": "b", "payload": 1}, {"topic": "c", "payload": 1}]') AS answer \gset
SELECT act_as('none');
CREATE TEMPORARY TABLE uncommitted AS SELECT q.* FROM pgmq.q_mqtt_outbound AS q WHERE q.integration_id = :'external';
DELETE FROM pgmq.q_mqtt_outbound WHERE integration_id = :'external';
SELECT act_as('authenticated', :'alice');
SELECT api.delete_integration(:'external') \g /dev/null
SELECT act_as('none');
INSERT INTO pgmq.q_mqtt_outbound OVERRIDING SYSTEM VALUE SELECT u.* FROM uncommitted AS u;
SELECT is(mqtt.cancel_orphans(2), 2::bigint, 'so many at a time');
SELECT is(mqtt.run_periodic_tasks() ->> 'orphans_cancelled', '1', 'as maintenance does');
SELECT is(mqtt.cancel_orphans(), 0::bigint, 'once');
SELECT results_eq(
    format(
        'SELECT r.topic, r.state, r.reason FROM mqtt.mqtt_publish_receipts AS r WHERE r.integration_id = %L AND r.reason IS NOT NULL AND r.state = ''cancelled'' ORDER BY 1',
        :'external'
    ),
    $$VALUES ('a', 'cancelled', 'The integration was deleted.'), ('b', 'cancelled', 'The integration was deleted.'), ('c', 'cancelled', 'The integration was deleted.')$$,
    'their receipts say so'
);
SELECT is(
    (SELECT count(*) FROM mqtt.mqtt_publish_receipts AS r INNER JOIN jsonb_array_elements(:'answer'::jsonb -> 'receipts') AS x ON r.id = (x.value ->> 'receipt_id')::uuid),
    3::bigint, 'under the ids that were answered'
);
SELECT is((SELECT count(*) FROM pgmq.q_mqtt_outbound), 1::bigint, 'what others have queued stays');
SELECT ok(NOT EXISTS (SELECT FROM mqtt.maintenance_failures), 'and nothing failed');
SELECT * FROM finish();
ROLLBACK;
