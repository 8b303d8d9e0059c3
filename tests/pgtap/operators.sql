-- Operators: rows of mqtt.operators, what they open, and that they open no organization.
\ir setup.psql
SELECT plan(22);
SELECT function_privs_are('api', 'get_caller', ARRAY[]::text[], 'anon', ARRAY[]::text[]);
SELECT function_privs_are('api', 'get_system_status', ARRAY[]::text[], 'anon', ARRAY[]::text[]);
SELECT table_privs_are('mqtt', 'operators', 'authenticated', ARRAY['SELECT']);
SELECT table_privs_are('mqtt', 'operators', 'service_role', ARRAY['SELECT']);
INSERT INTO mqtt.operators (user_id) VALUES (:'nobody'), (:'bob');
INSERT INTO mqtt.ledger (organization_id, bucket, shard, accepted, completed, dead)
VALUES (:'org_alice', date_trunc('hour', now()), 0, 9, 0, 0), (:'org_alice', date_trunc('hour', now()), -1, 0, 6, 1), (:'org_bob', date_trunc('hour', now()), 0, 7, 0, 0);

SELECT act_as('authenticated', :'nobody');
SELECT is(api.get_caller(), jsonb_build_object('user_id', :'nobody', 'role', 'authenticated', 'is_operator', true), 'an operator is told so');
SELECT results_eq('SELECT user_id FROM mqtt.operators', format('VALUES (%L::uuid)', :'nobody'), 'and sees nobody else''s row');
SELECT throws_ok(format('INSERT INTO mqtt.operators VALUES (%L)', :'alice'), '42501', NULL, 'an operator makes no operators');
SELECT is(api.create_organization('Dora Ltd', 'dora', :'nobody') ->> 'topic_prefix', 'org_dora', 'creates an organization');
SELECT is((SELECT array_agg(o.slug) FROM api.organizations AS o), '{dora}', 'sees the one that they belong to');
SELECT ok(
    api.get_system_status() ?& '{at,bridges,integrations,queues,ingest_pause,publish_pause,sealing,workers,partitions,vacuum_holders,ledger_faults}',
    'sees the state of the installation'
);
SELECT ok(NOT api.get_system_status()::text LIKE '%public_key%', 'without keys');
SELECT is_empty('SELECT FROM api.devices', 'but no device of another organization');
SELECT refuses(format('SELECT api.get_mqtt_queue_stats(%L)', :'org_alice'), 'PT404', 'organization_not_found', 'nor their queue');
SELECT refuses(format('SELECT api.get_mqtt_ledger(%L)', :'org_alice'), 'PT404', 'organization_not_found', 'nor their ledger');
SELECT refuses(format('SELECT api.add_organization_member(%L, %L)', :'org_alice', :'nobody'), 'PT404', 'organization_not_found', 'nor may they join one');
SELECT throws_ok(format('SELECT api.set_organization_limits(%L)', :'org_alice'), '42501', NULL, 'nor set limits');

SELECT act_as('authenticated', :'alice');
SELECT is(api.get_caller() -> 'is_operator', 'false', 'an admin of an organization is not an operator');
SELECT refuses('SELECT api.get_system_status()', 'PT403', 'operator_required', 'and does not see the installation');
SELECT results_eq(
    format('SELECT at, accepted, completed, dead, expired, queued FROM api.get_mqtt_ledger(%L)', :'org_alice'),
    $$VALUES (date_trunc('hour', now()), 9::bigint, 6::bigint, 1::bigint, 0::bigint, 2::bigint)$$, 'a member sees the ledger of their organization'
);
SELECT is_empty(format($$SELECT FROM api.get_mqtt_ledger(%L, until => now() - interval '1 day', unit => 'day')$$, :'org_alice'), 'of the range that is asked for');
SELECT refuses(format($$SELECT api.get_mqtt_ledger(%L, unit => 'week')$$, :'org_alice'), 'PT400', 'unit_invalid', 'by known units');

SELECT act_as('service_role');
SELECT is(api.get_caller(), '{"user_id": null, "role": "service_role", "is_operator": true}', 'service_role counts as an operator');
SELECT * FROM finish();
ROLLBACK;
