-- Filters that end: noted until a bridge has unsubscribed, since the session at the broker may outlast whoever would do so at once.
\ir setup.psql
SELECT plan(17);
\set one 'aaaaaaaa-0000-4000-8000-000000000001'
\set two 'aaaaaaaa-0000-4000-8000-000000000002'
DELETE FROM mqtt.bridges;
INSERT INTO mqtt.bridges (id, name, version, main_pid) VALUES (:'one', 'host:1', '1', 1), (:'two', 'host:2', '1', 2);
INSERT INTO mqtt.bridge_leases (organization_id, integration_id, bridge_id) VALUES (:'org_alice', :'external', :'one'), (:'org_bob', :'bob_external', :'two');
CREATE FUNCTION tap.ended() RETURNS text [] LANGUAGE sql AS $$SELECT coalesce(array_agg(e.topic ORDER BY e.topic), '{}') FROM mqtt.ended_filters AS e$$;
GRANT EXECUTE ON FUNCTION tap.ended() TO public;
INSERT INTO mqtt.mqtt_subscriptions (organization_id, integration_id, topic)
SELECT :'org_alice', :'external', t FROM unnest('{granted,paused,both,asked,gone}'::text []) AS t;
UPDATE mqtt.mqtt_subscriptions SET active_at = now(), status = 'active', granted_qos = 0 WHERE integration_id = :'external' AND topic <> 'asked';

SELECT is(tap.ended(), '{}', 'none');
DELETE FROM mqtt.mqtt_subscriptions WHERE integration_id = :'external' AND topic IN ('granted', 'asked');
SELECT is(tap.ended(), '{granted}', 'what the broker had granted; what it never had is not');
UPDATE mqtt.mqtt_subscriptions SET is_paused = true WHERE integration_id = :'external' AND topic IN ('paused', 'both');
SELECT is(tap.ended(), '{both,granted,paused}', 'and what is paused');
UPDATE mqtt.mqtt_subscriptions SET callback_url = 'https://example.com/' WHERE integration_id = :'external' AND topic = 'paused';
UPDATE mqtt.mqtt_subscriptions SET is_paused = false WHERE integration_id = :'external' AND topic = 'paused';
SELECT is(tap.ended(), '{both,granted}', 'until it is wanted again');
INSERT INTO mqtt.mqtt_subscriptions (organization_id, integration_id, topic, is_paused) VALUES (:'org_alice', :'external', 'granted', true);
SELECT is(tap.ended(), '{both,granted}', 'which one that is paused from the first is not');
UPDATE mqtt.mqtt_subscriptions SET is_paused = false WHERE integration_id = :'external' AND topic = 'granted';
SELECT is(tap.ended(), '{both}', 'before it runs');
DELETE FROM mqtt.mqtt_subscriptions WHERE integration_id = :'external' AND topic IN ('both', 'granted');
SELECT is(tap.ended(), '{both}', 'once for both, and not for what was never granted again');
SELECT act_as('authenticated', :'alice');
SELECT api.mqtt_unsubscribe((SELECT s.id FROM api.mqtt_subscriptions AS s WHERE s.topic = 'gone')) \g /dev/null
SELECT api.mqtt_subscribe(:'external', 'new') \g /dev/null
SELECT act_as('none');
SELECT is(tap.ended(), '{both,gone}', 'as an app unsubscribes');

-- The bridge
SELECT act_as('mqtt_bridge');
SELECT results_eq(format('SELECT * FROM bridge.ended_filters(%L) ORDER BY 2', :'one'), format($$VALUES (%L::uuid, 'both'), (%1$L, 'gone')$$, :'external'), 'is told by its lease');
SELECT is_empty(format('SELECT * FROM bridge.ended_filters(%L)', :'two'), 'and no other');
SELECT lives_ok(format($$SELECT bridge.forget_filters(%L, ARRAY[%L]::uuid [], '{gone}')$$, :'two', :'external'), 'nor may another say that it is done');
SELECT act_as('none');
SELECT is(tap.ended(), '{both,gone}', 'with effect');
SELECT act_as('mqtt_bridge');
SELECT lives_ok(format($$SELECT bridge.forget_filters(%L, ARRAY[%L, %2$L, %L]::uuid [], '{gone,unknown,both}')$$, :'one', :'external', :'bob_external'), 'it says what is done');
SELECT act_as('none');
SELECT is(tap.ended(), '{both}', 'of its integrations');

-- With their integration
INSERT INTO mqtt.mqtt_subscriptions (organization_id, integration_id, topic) VALUES (:'org_alice', :'external', 'last');
UPDATE mqtt.mqtt_subscriptions SET active_at = now() WHERE topic = 'last';
SELECT act_as('authenticated', :'alice');
SELECT lives_ok(format('SELECT api.delete_integration(%L)', :'external'), 'an integration goes with its subscriptions');
SELECT act_as('none');
SELECT is(tap.ended(), '{}', 'and with what was noted');
SELECT is_empty('SELECT FROM mqtt.mqtt_subscriptions WHERE topic = ''last''', 'all of it');
SELECT * FROM finish();
ROLLBACK;
