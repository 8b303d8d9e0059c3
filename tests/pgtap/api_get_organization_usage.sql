-- api.get_organization_usage: who may see it, what it counts, and the limits that an organization has of its own.
\ir setup.psql
SELECT plan(12);
SELECT function_privs_are('api', 'get_organization_usage', ARRAY['timestamptz', 'timestamptz'], 'anon', ARRAY[]::text []);
INSERT INTO mqtt.operators (user_id) VALUES (:'nobody');
INSERT INTO mqtt.mqtt_messages (received_at, created_at, position, organization_id, integration_id, direction, topic, payload, body)
SELECT now() - v.age, now() - v.age + interval '2 seconds', v.n, :'org_alice', :'hosted', v.direction::mqtt.message_direction, 'org_alice/x', v.payload, v.body
FROM (VALUES
    (1, interval '1 minute', 'incoming', '"abcdefgh"'::jsonb, NULL::bytea), (2, '2 minutes', 'incoming', 'null', '\x0102'), (3, '1 minute', 'outgoing', '1', NULL),
    (4, '3 hours', 'incoming', '1', NULL)
) AS v (n, age, direction, payload, body);
INSERT INTO mqtt.ledger (organization_id, bucket, shard, accepted, completed, dead)
VALUES (:'org_alice', date_trunc('minute', now()), 0, 9, 0, 0), (:'org_alice', date_trunc('minute', now()), -1, 0, 6, 1);
INSERT INTO mqtt.integration_activity_log (created_at, organization_id, integration_id, activity_type, status, details)
SELECT now() - v.age, :'org_alice', :'hosted', 'messages_processed', 'success', jsonb_build_object('processing_ms', v.ms)
FROM (VALUES (interval '1 minute', 1000), (interval '2 minutes', 500), (interval '3 hours', 100)) AS v (age, ms);
UPDATE mqtt.organizations SET max_logins = 7 WHERE id = :'org_alice';
INSERT INTO mqtt.stream_connections (organization, process_id, connections)
SELECT o.number, p.id::uuid, p.n FROM mqtt.organizations AS o CROSS JOIN (VALUES (:'bob', 2), (:'alice', 3)) AS p (id, n) WHERE o.id = :'org_alice';
DELETE FROM mqtt.mqtt_subscriptions WHERE organization_id = :'org_alice';
INSERT INTO mqtt.mqtt_subscriptions (organization_id, integration_id, topic) VALUES (:'org_alice', :'external', 'used/#');
SELECT act_as('authenticated', :'nobody');
CREATE FUNCTION pg_temp.used(slug text) RETURNS jsonb LANGUAGE sql AS $$SELECT to_jsonb(u) FROM api.get_organization_usage() AS u WHERE u.slug = used.slug$$;
SELECT is(
    pg_temp.used('alice') - '{organization_id,name,bytes,devices}'::text [],
    '{"slug": "alice", "accepted": 9, "dead": 1, "queued": 2, "received": 2, "published": 1, "seconds_to_store": 2, "processing_seconds": 1.5, "logins": 1, "integrations": 2,
        "connections": 0, "stream_connections": 5, "subscriptions": 1, "limits": {"max_per_second": null, "max_burst": null, "max_queued": null, "max_payload_bytes": null, "max_logins": 7, "completed_days": null,
        "max_bytes_per_second": null, "max_processing_seconds": null, "max_integrations": null, "max_calls": null, "max_stream_connections": null, "max_subscriptions": null}}',
    'what one organization used in the last hour'
);
SELECT cmp_ok((pg_temp.used('alice') ->> 'bytes')::integer, '>', 10, 'payloads, as they are stored');
SELECT is(pg_temp.used('bob') -> 'received', '0', 'another organization has a row, too');
SELECT is(
    (SELECT u.received FROM api.get_organization_usage(now() - interval '1 day', now() - interval '1 hour') AS u WHERE u.slug = 'alice'), 1::bigint, 'of the range asked for'
);
SELECT act_as('authenticated', :'alice');
SELECT refuses('SELECT api.get_organization_usage()', 'PT403', 'operator_required', 'an admin of an organization is not told');
-- The same for the metrics, of so many organizations at most.
SELECT act_as('none');
UPDATE mqtt.integration_activity_log SET created_at = date_trunc('minute', now()) - interval '30 seconds', message_count = 8, details = details || '{"bytes": 80}'
WHERE details ->> 'processing_ms' = '1000';
SELECT is(
    bridge.organization_use(1),
    '[{"organization": "alice", "messages": 8, "bytes": 80, "processing_seconds": 1, "queued_messages": 2, "broker_connections": 0, "stream_connections": 5, "limits": {"max_logins": 7}}]',
    'what the metrics show'
);
INSERT INTO mqtt.stream_connections (organization, process_id, connections) SELECT o.number, :'bob', 95 FROM mqtt.organizations AS o WHERE o.id = :'org_bob';
SELECT is(bridge.organization_use(1) #>> '{0,organization}', 'alice', 'first, who has the largest part of anything');
UPDATE mqtt.integration_activity_log SET details = details - '{bytes,processing_ms}'::text [], message_count = 0;
UPDATE mqtt.ledger SET accepted = completed + dead WHERE organization_id = :'org_alice';
DELETE FROM mqtt.ledger;
SELECT is((SELECT jsonb_agg(u -> 'organization') FROM jsonb_array_elements(bridge.organization_use(9)) AS u), '["bob", "alice"]', 'whatever that is');
SELECT act_as('service_role');
SELECT is((api.set_organization_limits(:'org_alice', max_logins => 1)).max_logins, 1, 'an operator limits logins');
SELECT act_as('authenticated', :'alice');
SELECT refuses(format('SELECT api.generate_mqtt_credentials(%L)', :'hosted'), 'PT409', 'login_limit_reached', 'its own limit holds', '%has 1 valid%');
SELECT act_as('authenticated', :'bob');
SELECT lives_ok(format('SELECT api.generate_mqtt_credentials(%L)', :'bob_hosted'), 'for it alone');
SELECT * FROM finish();
ROLLBACK;
