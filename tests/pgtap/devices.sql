-- api.list_devices, get_device, sync_device, get_capabilities: grants, pages, each documented error, isolation.
\ir setup.psql
SELECT plan(66);
SELECT is(has_function_privilege('anon', p.oid, 'execute'), false, p.proname || ' is not for anon')
FROM pg_catalog.pg_proc AS p
WHERE p.pronamespace = 'api'::regnamespace AND p.proname IN ('list_devices', 'get_device', 'sync_device', 'get_capabilities', 'query_telemetry');

SELECT act_as('authenticated', :'anna');
SELECT is(api.sync_device(:'hosted', 'valve', 'Valve', '{"line": 1}') ->> 'name', 'Valve', 'a member registers a device');
SELECT is(api.sync_device(:'hosted', 'valve', metadata => '{"line": 2}') ->> 'name', 'Valve', 'what is not given stays');
SELECT is(api.sync_device(:'hosted', 'valve', 'Valve 2') -> 'metadata', '{"line": 2}', 'both ways');
SELECT is(api.sync_device(:'hosted', 'pump') ->> 'id', :'pump', 'a device that is there');
SELECT is(api.get_device('valve') ->> 'external_id', 'valve', 'by external id');
SELECT is(api.get_device(:'pump') ->> 'external_id', 'pump', 'by id');
SELECT is(api.get_device('pump', :'hosted', :'org_alice') ->> 'id', :'pump', 'by external id in an integration');
SELECT is(api.sync_device(:'external', 'pump', organization_id => :'org_alice') ->> 'external_id', 'pump', 'the same external id elsewhere');
SELECT refuses($$SELECT api.get_device('pump')$$, 'PT409', 'device_ambiguous', 'is ambiguous');
SELECT refuses(format('SELECT api.sync_device(%L, %s)', :'hosted', a.argument), 'PT400', a.slug, left(a.argument, 40))
FROM (VALUES
    ('''''', 'external_id_invalid'), ('NULL', 'external_id_invalid'), ('''a/b''', 'external_id_invalid'), ('''+''', 'external_id_invalid'), ('''a#''', 'external_id_invalid'),
    ('E''a\u0001''', 'external_id_invalid'), ('repeat(''x'', 256)', 'external_id_invalid'), ('''x'', ''''', 'name_invalid'), ('''x'', repeat(''x'', 201)', 'name_invalid'),
    ('''x'', metadata => ''[]''', 'metadata_invalid'), ('''x'', metadata => jsonb_build_object(''x'', repeat(''x'', 65536))', 'metadata_invalid'),
    ('''x'', metadata => ''{"x": 1e400}''', 'metadata_invalid')
) AS a (argument, slug);
SELECT refuses(format($$SELECT api.sync_device(%L, 'x')$$, :'bob_hosted'), 'PT404', 'integration_not_found', 'another organization''s integration');
SELECT refuses(format($$SELECT api.get_device(%L)$$, :'bob_pump'), 'PT404', 'device_not_found', 'another organization''s device');
SELECT refuses(format($$SELECT api.get_device('pump', %L)$$, :'bob_hosted'), 'PT404', 'device_not_found', 'by external id, too');
SELECT refuses($$SELECT api.get_device(NULL)$$, 'PT400', 'argument_missing', 'none');

-- Pages
SELECT api.sync_device(:'hosted', x) FROM unnest('{a,b,"c é",d,"e''f"}'::text []) AS x \g /dev/null
CREATE FUNCTION pg_temp.all_pages(size integer) RETURNS text [] LANGUAGE plpgsql AS $$
DECLARE
    v_page jsonb;
    v_all text [] := '{}';
BEGIN
    LOOP
        v_page := api.list_devices(size, v_page ->> 'next_cursor');
        v_all := v_all || ARRAY(SELECT d.value ->> 'id' FROM jsonb_array_elements(v_page -> 'devices') AS d);
        IF v_page ->> 'next_cursor' IS NULL OR cardinality(v_all) > 100 THEN
            RETURN v_all;
        END IF;
    END LOOP;
END;
$$;
SELECT is(cardinality(pg_temp.all_pages(1000)), 8, 'all devices of the organization on one page');
SELECT is(pg_temp.all_pages(n), pg_temp.all_pages(1000), 'the same in pages of ' || n) FROM unnest('{1,2,3,7,8}'::integer []) AS n;
SELECT is(jsonb_array_length(api.list_devices(integration_id => :'external') -> 'devices'), 1, 'of one integration');
SELECT is(jsonb_array_length(api.list_devices(organization_id => :'org_alice') -> 'devices'), 8, 'of one organization');
SELECT refuses(format('SELECT api.list_devices(%s)', a.argument), a.code, a.slug, a.argument)
FROM (VALUES
    ('0', 'PT400', 'limit_invalid'), ('1001', 'PT400', 'limit_invalid'), ('NULL', 'PT400', 'limit_invalid'), ('1, ''x''', 'PT400', 'cursor_invalid'),
    ('1, ''11111111-0000-4000-8000-000000000001.11111111-0000-4000-8000-000000000010.ff''', 'PT400', 'cursor_invalid'),
    ('integration_id => ''22222222-0000-4000-8000-000000000010''', 'PT404', 'integration_not_found'),
    ('organization_id => ''22222222-0000-4000-8000-000000000001''', 'PT404', 'organization_not_found')
) AS a (argument, code, slug);
SELECT is(
    api.get_capabilities(:'hosted'),
    '{"supportsRealTimeStatus": true, "supportsTelemetry": true, "supportsFirmwareManagement": false, "supportsRemoteCommands": true, "supportsBidirectionalSync": false}',
    'capabilities, by the names of the replaced system'
);
SELECT refuses(format('SELECT api.get_capabilities(%L)', :'bob_hosted'), 'PT404', 'integration_not_found', 'of another organization''s integration');

-- device_id and external_id
SELECT is(api.get_device(external_id => 'valve') ->> 'external_id', 'valve', 'external_id alone');
SELECT is(api.get_device(:'pump', external_id => 'pump') ->> 'id', :'pump', 'both, for one device');
SELECT refuses(format('SELECT api.get_device(%L, external_id => %L)', :'pump', 'valve'), 'PT400', 'argument_conflict', 'both, for two devices');
SELECT api.sync_device(:'hosted', :'pump') ->> 'id' AS decoy \gset
SELECT is(api.get_device(:'pump') ->> 'external_id', 'pump', 'device_id is a device''s own id first of all');
SELECT is(api.get_device(external_id => :'pump') ->> 'id', :'decoy', 'external_id never is');
SELECT refuses(format('SELECT api.get_device(external_id => %L)', :'decoy'), 'PT404', 'device_not_found', 'not even where no device has it');
SELECT act_as('authenticated', :'nobody');
SELECT is(api.list_devices(), '{"devices": [], "next_cursor": null}', 'who belongs to no organization sees none');
-- Who belongs to several organizations says which one is meant.
SELECT act_as('none');
INSERT INTO mqtt.organization_members (organization_id, user_id, role) VALUES (:'org_bob', :'anna', 'member');
SELECT act_as('authenticated', :'anna');
SELECT refuses('SELECT api.list_devices()', 'PT400', 'organization_required', 'devices of several organizations', 'You belong to 2 %');
SELECT refuses(format('SELECT * FROM api.%s', c.call), 'PT400', 'organization_required', c.call)
FROM (VALUES ('query_telemetry()'), ('query_series()')) AS c (call);
SELECT lives_ok(format('SELECT * FROM api.%s', c.call), c.call)
FROM (VALUES
    (format('query_telemetry(device_id => %L)', :'pump')), (format('query_telemetry(organization_id => %L)', :'org_bob')),
    ('list_messages()'), (format('list_messages(device_id => %L)', :'pump')), (format('list_messages(integration_id => %L)', :'hosted')),
    (format('query_series(device_ids => %L)', ARRAY[:'pump']))
) AS c (call);
SELECT lives_ok(format('SELECT api.list_devices(organization_id => %L)', :'org_bob'), 'of one of them');
SELECT is(api.get_device(:'pump') ->> 'found_by', 'id', 'a device by its id');
SELECT is(api.get_device('pump', organization_id => :'org_bob') ->> 'found_by', 'external_id', 'or by its external id');
SELECT * FROM finish();
ROLLBACK;
