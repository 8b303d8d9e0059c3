-- Client ids at the hosted broker: none is of two organizations, or the bridge's; at an external broker they are the tenant's business.
\ir setup.psql
SELECT plan(17);
CREATE FUNCTION tap.given(client_id text, integration_id uuid) RETURNS text LANGUAGE sql AS $$
    SELECT api.generate_mqtt_credentials(given.integration_id, client_id => given.client_id) ->> 'client_id'
$$;
SELECT act_as('authenticated', :'alice');
SELECT is(given('sensor01', :'hosted'), 'sensor01', 'a free one');
SELECT is(given('sensor01', :'hosted'), 'sensor01', 'the organization''s own, again');
SELECT is(given(repeat('x', 64), :'hosted'), repeat('x', 64), 'a long one');
SELECT act_as('authenticated', :'bob');
SELECT is(given('sensor01', :'bob_hosted'), 'bob.sensor01', 'another organization''s');
SELECT is(given('sensor01', :'bob_external'), 'sensor01', 'at a broker of its own');
SELECT is(given('alice.x', :'bob_hosted'), 'bob.alice.x', 'what is reserved to another organization');
SELECT is(given('bob.x', :'bob_hosted'), 'bob.x', 'what is reserved to itself');
SELECT is(given('nobody.x', :'bob_hosted'), 'nobody.x', 'what begins with the slug of no organization');
SELECT is(
    given('topicbase' || left(replace(:'hosted', '-', ''), 14), :'bob_hosted'), 'bob.topicbase' || left(replace(:'hosted', '-', ''), 14),
    'the bridge''s, for an integration'
);
SELECT is(given('topicbaset0123456789ab', :'bob_hosted'), 'bob.topicbaset0123456789ab', 'the bridge''s, for a connection test');
SELECT is(given('topicbase-sensor', :'bob_hosted'), 'topicbase-sensor', 'one that only resembles them');
SELECT matches(given(repeat('x', 64), :'bob_hosted'), '^bob_[0-9a-f]{16}$', 'too long to have the slug before it: the username');
SELECT act_as('none');
UPDATE mqtt.mqtt_credentials SET revoked_at = now() - interval '1 year' WHERE client_id = 'sensor01' AND organization_id = :'org_alice';
UPDATE mqtt.mqtt_credentials SET client_id = 'sensor01' WHERE client_id = 'bob.x';
SELECT is(
    (SELECT count(*)::integer FROM mqtt.mqtt_credentials AS c WHERE c.client_id = 'sensor01' AND c.integration_id = :'bob_hosted'), 0,
    'not even after its login has ended: its session may be there'
);
-- What another organization took while no organization had that slug is not this one's own.
SELECT act_as('authenticated', :'bob');
SELECT is(given('y', :'bob_hosted'), 'y', 'a free one');
SELECT is(given('carol.y', :'bob_hosted'), 'carol.y', 'and one for an organization to come');
SELECT act_as('service_role');
SELECT api.create_organization('Carol Ltd', 'carol', :'nobody') ->> 'id' AS org_carol \gset
SELECT act_as('authenticated', :'nobody');
SELECT api.upsert_integration(:'org_carol', 'hosted', 'mqtt_hosted') ->> 'id' AS carol_hosted \gset
SELECT matches(given('y', :'carol_hosted'), '^carol_[0-9a-f]{16}$', 'another''s even with the slug before it: the username');
SELECT is(given('sensor01', :'carol_hosted'), 'carol.sensor01', 'any other with the slug before it');
SELECT * FROM finish();
ROLLBACK;
