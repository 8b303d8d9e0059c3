-- Secrets of brokers: sealed before they are stored, through every door; never read back.
\ir setup.psql
SELECT to_regprocedure('mqtt.py_seal(bytea, text)') IS NOT NULL AS can_seal \gset
SELECT plan(25);
SELECT translate(encode(repeat('x', 60)::bytea, 'base64'), E'\n', '') AS box \gset
SELECT act_as('authenticated', :'alice');
\set settings '{"broker_url": "b.example.com", "password": "planted-secret-1"}'
SELECT refuses(
    format($$SELECT api.upsert_integration(%L, 'x', 'mqtt', %L)$$, :'org_alice', :'settings'), 'PT400', 'sealing_unavailable', 'without a key nothing is stored in clear',
    'settings.password cannot be stored: this installation has no sealing key yet%'
);
SELECT act_as('none');
UPDATE mqtt.configuration SET sealing_public_key = decode(repeat('09', 32), 'hex');
SELECT act_as('authenticated', :'alice');

-- Sealed by the caller
SELECT api.upsert_integration(:'org_alice', 'x', 'mqtt', jsonb_build_object('broker_url', 'b.example.com', 'password', jsonb_build_object('sealed', :'box'))) AS made \gset
SELECT is(:'made'::jsonb #> '{settings,has_password}', 'true', 'a sealed password is taken');
SELECT is(:'made'::jsonb ->> 'has_password', 'true', 'the row says so');
SELECT ok(:'made' NOT LIKE '%sealed%' AND :'made' NOT LIKE '%' || :'box' || '%', 'and does not show it');
SELECT :'made'::jsonb ->> 'id' AS id \gset
SELECT is((SELECT i.settings #>> '{password,sealed}' FROM mqtt.device_integrations AS i WHERE i.id = :'id'), :'box', 'it is stored as it came');
SELECT refuses(
    format($$SELECT api.upsert_integration(%L, 'x', 'mqtt', jsonb_build_object('broker_url', 'b.example.com', 'password', %L::jsonb))$$, :'org_alice', p),
    'PT400', 'setting_invalid', p, 'settings.password %'
)
FROM unnest(ARRAY['{"sealed": "eA=="}', '{"sealed": 7}', '{"sealed": "!!!"}', '["x"]']) AS p;
\if :can_seal
    SELECT api.upsert_integration(:'org_alice', 'x', 'mqtt', :'settings', :'id') AS made \gset
    SELECT is(:'made'::jsonb #> '{settings,has_password}', 'true', 'a clear one is taken too');
    SELECT ok(:'made' NOT LIKE '%planted%', 'and not shown');
    SELECT is(
        (SELECT octet_length(decode(i.settings #>> '{password,sealed}', 'base64')) FROM mqtt.device_integrations AS i WHERE i.id = :'id'),
        48 + length('planted-secret-1'), 'but stored sealed'
    );
    SELECT i.settings -> 'password' AS stored FROM mqtt.device_integrations AS i WHERE i.id = :'id' \gset
    SELECT is(
        api.upsert_integration(:'org_alice', 'x', 'mqtt', '{"broker_url": "b.example.com", "port": 1884, "has_password": true}', :'id') ->> 'has_password', 'true',
        'a change that does not mention it keeps it'
    );
    SELECT is((SELECT i.settings -> 'password' FROM mqtt.device_integrations AS i WHERE i.id = :'id'), :'stored', 'as it was');
    SELECT refuses(
        format($$SELECT api.upsert_integration(%L, 'x', 'mqtt', '{"broker_url": "evil.example.com"}', %L)$$, :'org_alice', :'id'),
        'PT400', 'setting_invalid', 'another host does not get it', 'settings.password %'
    );
    SELECT refuses(
        format(
            $$SELECT api.upsert_integration(%L, 'x', 'mqtt', jsonb_build_object('broker_url', 'evil.example.com', 'password', %L::jsonb), %L)$$,
            :'org_alice', :'stored', :'id'
        ), 'PT400', 'setting_invalid', 'not even from one who knows the box', 'settings.password %'
    );
    SELECT is(
        api.upsert_integration(:'org_alice', 'x', 'mqtt', '{"broker_url": "other.example.com", "password": "planted-secret-2"}', :'id') ->> 'has_password', 'true',
        'with the secret given again it may move'
    );
    SELECT is(
        api.upsert_integration(:'org_alice', 'x', 'mqtt', '{"broker_url": "other.example.com", "password": null}', :'id') ->> 'has_password', 'false',
        'null takes it away'
    );
    SELECT is(
        api.upsert_integration(:'org_alice', 'x', 'mqtt', '{"broker_url": "other.example.com", "client_key": "planted-secret-3",
            "client_certificate": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"}', :'id') #> '{settings,has_client_key}', 'true', 'a client key is a secret too'
    );
    -- Through the other doors
    UPDATE mqtt.device_integrations AS i SET settings = i.settings || '{"password": "planted-secret-4"}' WHERE i.id = :'id';
    SELECT ok((SELECT i.settings ? 'password' AND i.settings::text NOT LIKE '%planted%' FROM mqtt.device_integrations AS i WHERE i.id = :'id'), 'UPDATE seals');
    INSERT INTO mqtt.device_integrations (organization_id, name, integration_type, settings) VALUES (:'org_alice', 'y', 'mqtt', :'settings');
    SELECT ok((SELECT i.settings ? 'password' AND i.settings::text NOT LIKE '%planted%' FROM mqtt.device_integrations AS i WHERE i.name = 'y'), 'INSERT seals');
    SELECT is((SELECT v.has_password FROM api.device_integrations AS v WHERE v.name = 'y'), true, 'the view tells that there is one');
    SELECT ok((SELECT bool_and(v::text NOT LIKE '%sealed%') FROM api.device_integrations AS v), 'and does not show it');
    SELECT act_as('none');
    SELECT is((SELECT count(*) FROM mqtt.integration_activity_log AS a WHERE a::text LIKE '%planted%' OR a::text LIKE '%sealed%'), 0::bigint, 'nor does the activity log');
    -- A key that is none: a clear refusal, not a failure of the server.
    UPDATE mqtt.configuration SET sealing_public_key = decode(repeat('00', 32), 'hex');
    SELECT act_as('authenticated', :'alice');
    SELECT refuses(
        format($$SELECT api.upsert_integration(%L, 'x', 'mqtt', '{"broker_url": "b.example.com", "password": "planted-secret-5"}')$$, :'org_alice'),
        'PT400', 'sealing_unavailable', 'a useless key'
    );
\else
    SELECT skip('not run: it needs PL/Python', 16);
\endif
SELECT * FROM finish();
ROLLBACK;
