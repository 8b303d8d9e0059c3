-- mqtt.publish: by whom, from triggers and functions of others, in the caller's transaction.
\ir setup.psql
SELECT plan(27);
SELECT function_privs_are('mqtt', 'publish', ARRAY['uuid', 'jsonb'], r, '{}'::text []) FROM unnest('{anon,authenticated,mqtt_bridge}'::name []) AS r;
SELECT function_privs_are('mqtt', 'grant_publisher', ARRAY['name', 'uuid'], r, '{}'::text []) FROM unnest('{authenticated,service_role}'::name []) AS r;
CREATE ROLE shop NOLOGIN;
CREATE ROLE shop_staff NOLOGIN IN ROLE shop;
CREATE ROLE clerk NOLOGIN;
GRANT USAGE ON SCHEMA tap TO shop, shop_staff, clerk;
SELECT refuses(format('SELECT mqtt.grant_publisher(%L, %L)', r, :'hosted'), 'PT400', 'role_invalid', r) FROM unnest('{authenticated,nobody_at_all}'::name []) AS r;
SELECT refuses(format('SELECT mqtt.grant_publisher(%L, %L)', 'shop', :'unknown'), 'PT404', 'integration_not_found', 'an integration that is none');
SELECT mqtt.grant_publisher('shop', :'hosted');
CREATE SCHEMA shop AUTHORIZATION shop;
GRANT USAGE ON SCHEMA shop TO clerk;
SET LOCAL ROLE shop;
SELECT lives_ok(format('SELECT mqtt.publish(%L, %L, %L::jsonb)', :'hosted', 'org_alice/a', '"x"'), 'JSON');
SELECT lives_ok(format('SELECT mqtt.publish(%L, %L, %L)', :'hosted', 'org_alice/a', 'x'), 'text');
SELECT lives_ok(format('SELECT mqtt.publish(%L, %L, %L::bytea, 1, true, %L)', :'hosted', 'org_alice/a', '\x00ff', '{"content_type": "a/b"}'), 'bytes');
SELECT lives_ok(format('SELECT mqtt.publish(%L, %L, NULL::jsonb, retain => true)', :'hosted', 'org_alice/a'), 'nothing');
SELECT is(
    (SELECT count(*) FROM jsonb_array_elements(mqtt.publish(:'hosted', '[{"topic": "org_alice/a", "payload": 1}, {"topic": "org_alice/b", "payload": null}]'))),
    2::bigint, 'several at once'
);
SELECT refuses(format('SELECT mqtt.publish(%L, %L, %L)', :'hosted', 'org_bob/a', 'x'), 'PT403', 'topic_not_allowed', 'below the organization''s own prefix only');
SELECT refuses(format('SELECT mqtt.publish(%L, %L, %L)', i, 'org_alice/a', 'x'), 'PT403', 'publisher_not_granted', 'not to integration ' || i)
FROM unnest(ARRAY[:'external', :'bob_hosted', :'unknown']) AS i;
SELECT throws_ok(
    format('INSERT INTO mqtt.publishing (caller, integration_id, messages) VALUES (%L, %L, %L)', 'postgres', :'bob_hosted', '[]'), '42501', NULL,
    'who the caller is, nobody may say'
);
SELECT throws_ok('SELECT * FROM mqtt.publishers', '42501', NULL, 'and the grants are closed');
CREATE TABLE shop.orders (id integer);
CREATE FUNCTION shop.tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mqtt.publish('11111111-0000-4000-8000-000000000010', 'org_alice/orders', to_jsonb(new));
    RETURN new;
END;
$$;
CREATE FUNCTION shop.tell_as_shop() RETURNS uuid LANGUAGE sql SECURITY DEFINER AS $$
    SELECT mqtt.publish('11111111-0000-4000-8000-000000000010', 'org_alice/definer', 'x'::text);
$$;
CREATE TRIGGER tell AFTER INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.tell();
INSERT INTO shop.orders VALUES (1), (2);
RESET ROLE;
GRANT INSERT ON shop.orders TO clerk;
SET LOCAL ROLE shop_staff;
SELECT lives_ok(format('SELECT mqtt.publish(%L, %L, %L)', :'hosted', 'org_alice/a', 'x'), 'a role that has the privileges of the other');
SET LOCAL ROLE clerk;
SELECT throws_ok('INSERT INTO shop.orders VALUES (3)', '42501', NULL, 'a trigger publishes as who writes');
SELECT lives_ok('SELECT shop.tell_as_shop()', 'and a SECURITY DEFINER function as its owner');
SET LOCAL ROLE service_role;
SELECT lives_ok(format('SELECT mqtt.publish(%L, %L, %L)', :'bob_hosted', 'org_bob/a', 'x'), 'service_role publishes anywhere');
RESET ROLE;
SELECT is(
    (
        SELECT jsonb_agg(q.message || jsonb_build_object('body', encode(q.body, 'escape')) ORDER BY q.msg_id)
        FROM pgmq.q_mqtt_outbound AS q
        WHERE q.organization_id = :'org_alice'
    ),
    $$[
        {"topic": "org_alice/a", "payload": "x", "body": null}, {"topic": "org_alice/a", "payload": "x", "body": "x"},
        {"topic": "org_alice/a", "body": "\\000\\377", "qos": 1, "retain": true, "content_type": "a/b"},
        {"topic": "org_alice/a", "payload": null, "body": "", "retain": true},
        {"topic": "org_alice/a", "payload": 1, "body": null}, {"topic": "org_alice/b", "payload": null, "body": ""},
        {"topic": "org_alice/orders", "payload": {"id": 1}, "body": null}, {"topic": "org_alice/orders", "payload": {"id": 2}, "body": null},
        {"topic": "org_alice/a", "payload": "x", "body": "x"}, {"topic": "org_alice/definer", "payload": "x", "body": "x"}
    ]$$::jsonb, 'what is queued, in its order'
);
SAVEPOINT before_rollback;
SELECT mqtt.publish(:'hosted', 'org_alice/rolled_back', 'x');
ROLLBACK TO SAVEPOINT before_rollback;
SELECT is_empty($$SELECT 1 FROM pgmq.q_mqtt_outbound AS q WHERE q.message ->> 'topic' = 'org_alice/rolled_back'$$, 'what the caller rolls back is not published');
SELECT mqtt.revoke_publisher('shop', :'hosted');
SELECT is(has_schema_privilege('shop', 'mqtt', 'usage'), false, 'with the last grant the privileges go, too');
SET LOCAL ROLE shop;
SELECT throws_ok(format('SELECT mqtt.publish(%L, %L, %L)', :'hosted', 'org_alice/a', 'x'), '42501', NULL, 'and publishing with them');
SELECT * FROM finish();
ROLLBACK;
