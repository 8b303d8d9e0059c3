-- Presence by silence: after the integration's term, since it has passed; a message brings the device back; what it says itself counts for more.
\ir setup.psql
SELECT plan(21);
CREATE FUNCTION tap.take(topic text, payload jsonb, is_stored boolean DEFAULT true) RETURNS integer LANGUAGE sql AS $$
    SELECT mqtt.count_accepted('11111111-0000-4000-8000-000000000001', 1);
    INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id, credential_id)
    VALUES (
        clock_timestamp(), jsonb_build_object('topic', topic, 'payload', payload), '11111111-0000-4000-8000-000000000001',
        '11111111-0000-4000-8000-000000000010', '11111111-0000-4000-8000-000000000040'
    );
    SELECT (mqtt.store_messages(ARRAY(SELECT q.ctid FROM pgmq.q_mqtt_messages AS q WHERE is_stored)))[1];
$$;
CREATE FUNCTION tap.presence(external_id text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT d.presence - 'since' FROM mqtt.devices AS d WHERE d.external_id = $1 AND d.organization_id = '11111111-0000-4000-8000-000000000001'
$$;
SELECT act_as('authenticated', :'alice');
SELECT lives_ok(format($$SELECT api.upsert_integration(%L, 'hosted', 'mqtt_hosted', '{"offline_after": 600}', %L)$$, :'org_alice', :'hosted'), 'a term is set');
SELECT refuses(format($$SELECT api.upsert_integration(%L, 'hosted', 'mqtt_hosted', '{"offline_after": 5}', %L)$$, :'org_alice', :'hosted'), 'PT400', 'setting_invalid', 'of a minute at least');
SELECT api.upsert_payload_rule(:'hosted', 'org_alice/devices/+/status', '{topic[3]}', 'status') \g /dev/null
SELECT act_as('none');
UPDATE mqtt.devices SET last_seen_at = now() - interval '1 year' WHERE id = :'bob_pump';
SELECT take('org_alice/devices/pump/telemetry', '{"t": 1}') \g /dev/null
SELECT mqtt.note_silence() \g /dev/null
SELECT is(presence('pump'), '{"state": "online"}', 'who is heard is online');
UPDATE mqtt.devices SET last_seen_at = now() - interval '10 minutes 30 seconds' WHERE id = :'pump';
SELECT is(mqtt.note_silence(), 0, 'what was accepted within the last minute may still be on its way');
UPDATE mqtt.devices SET last_seen_at = now() - interval '20 minutes' WHERE id = :'pump';
SELECT take('org_alice/devices/pump/telemetry', '{"t": 2}', false) \g /dev/null
SELECT act_as('none');
UPDATE pgmq.q_mqtt_messages SET enqueued_at = now() - interval '5 minutes';
SELECT is(mqtt.note_silence(), 0, 'what waits to be processed is not silence');
DELETE FROM pgmq.q_mqtt_messages;
UPDATE mqtt.device_integrations SET status = 'error' WHERE id = :'hosted';
SELECT is(mqtt.note_silence(), 0, 'nor is what cannot come');
UPDATE mqtt.device_integrations SET status = 'active' WHERE id = :'hosted';
SELECT is(mqtt.note_silence(), 1, 'silence is');
SELECT is(d.presence, jsonb_build_object('state', 'offline', 'since', now() - interval '10 minutes', 'by', 'silence'), 'since the term had passed') FROM mqtt.devices AS d WHERE d.id = :'pump';
SELECT is(d.presence ->> 'state', 'unknown', 'elsewhere silence says nothing') FROM mqtt.devices AS d WHERE d.id = :'bob_pump';
SELECT is(mqtt.note_silence(), 0, 'once');
SELECT take('org_alice/devices/pump/telemetry', '{"t": 3}') \g /dev/null
SELECT is(presence('pump'), '{"state": "online"}', 'a message brings it back');
SELECT ok((d.presence ->> 'since')::timestamptz >= now(), 'since it came') FROM mqtt.devices AS d WHERE d.id = :'pump';
SELECT take('org_alice/devices/pump/status', '"offline"') \g /dev/null
SELECT take('org_alice/devices/pump/telemetry', '{"t": 4}') \g /dev/null
SELECT is(presence('pump'), '{"state": "offline"}', 'who has said so is offline until it says otherwise');
UPDATE mqtt.devices SET presence = jsonb_build_object('state', 'offline', 'since', now() - interval '1 hour', 'by', 'silence') WHERE id = :'pump';
SELECT take('org_alice/devices/pump/status', '"online"') \g /dev/null
SELECT is(presence('pump'), '{"state": "online"}', 'a status says otherwise');
UPDATE mqtt.devices SET presence = jsonb_build_object('state', 'offline', 'since', now() - interval '1 hour', 'by', 'silence'), last_seen_at = now() - interval '2 hours' WHERE id = :'pump';
SELECT set_config('topicbase.is_update_deferred', 'true', false) \g /dev/null
SELECT take('org_alice/devices/pump/telemetry', '{"t": 5}') \g /dev/null
SELECT mqtt.apply_deferred_updates() \g /dev/null
SELECT set_config('topicbase.is_update_deferred', 'false', false) \g /dev/null
SELECT is(presence('pump'), '{"state": "online"}', 'also where devices are written later');
-- A term of a rule, for the devices whose topics it matches.
SELECT act_as('authenticated', :'alice');
SELECT refuses(format($$SELECT api.upsert_payload_rule(%L, 'a', 'd', offline_after => 5)$$, :'hosted'), 'PT400', 'payload_rule_invalid', 'a rule''s term is of a minute at least', 'offline_after must be %');
SELECT api.upsert_payload_rule(:'hosted', 'org_alice/slow/+/up', '{topic[3]}', offline_after => 7200) IS NOT NULL AS done \gset
SELECT act_as('none');
SELECT take('org_alice/slow/cellar/up', '{"t": 1}') IS NOT NULL AS done \gset
UPDATE mqtt.devices SET last_seen_at = now() - interval '1 hour' WHERE external_id IN ('pump', 'cellar');
SELECT is(mqtt.note_silence(), 2, 'each is judged by its own term');
SELECT is(presence('cellar'), '{"state": "online"}', 'who may be silent for longer is online');
SELECT is(presence('pump'), '{"by": "silence", "state": "offline"}', 'the others go by the setting');
UPDATE mqtt.device_integrations SET settings = settings - 'offline_after' WHERE id = :'hosted';
UPDATE mqtt.devices SET last_seen_at = now() - interval '3 hours', presence = '{"state": "unknown", "since": null}' WHERE external_id IN ('pump', 'cellar');
SELECT mqtt.note_silence() \g /dev/null
SELECT results_eq(
    $$SELECT d.external_id, d.presence ->> 'state' FROM mqtt.devices AS d WHERE d.external_id IN ('pump', 'cellar') AND d.last_seen_at IS NOT NULL AND d.organization_id = '11111111-0000-4000-8000-000000000001' ORDER BY 1$$,
    $$VALUES ('cellar', 'offline'), ('pump', 'unknown')$$, 'or not at all'
);
SELECT ok(mqtt.run_periodic_tasks() ? 'devices_gone_silent', 'maintenance looks');
SELECT * FROM finish();
ROLLBACK;
