-- settings.topic_pattern: what is one, and what the queue worker makes of it.
\ir setup.psql
SELECT plan(30);
SELECT is(mqtt.topic_pattern_reason(p), NULL, p || ' is a pattern')
FROM unnest(ARRAY[
    mqtt.default_topic_pattern(), '{device_id}', 'f/+/{device_id}/#', 'v1/{message_type}/{device_id}',
    '$aws/things/{device_id}/shadow/{message_type}', '{organization_prefix}/{device_id}'
]) AS p;
SELECT isnt(mqtt.topic_pattern_reason(p), NULL, quote_literal(left(p, 40)) || ' is none')
FROM unnest(ARRAY[
    '', 'a/b', '{device_id}/{device_id}', 'x{device_id}', '{device_id}/{message_type}/{message_type}', 'a/{organization_prefix}/{device_id}',
    '{device_id}/{foo}', '{device_id}/a+', '{device_id}/#/a', '$share/g/{device_id}', E'a\u0007/{device_id}', repeat('a/', 600) || '{device_id}'
]) AS p;
CREATE FUNCTION pg_temp.compiled(pattern text) RETURNS text LANGUAGE sql AS
$$SELECT format('%s %s %s', l.topic_like, l.device_level, l.message_type_level) FROM mqtt.topic_pattern_levels(pattern, 'org_a') AS l$$;
SELECT is(pg_temp.compiled(mqtt.default_topic_pattern()), 'org\_a/devices/%/% 3 4', 'the default, compiled');
SELECT is(pg_temp.compiled('{device_id}'), '% 1 0', 'no message type');
SELECT is(pg_temp.compiled('a%_\/{message_type}/{device_id}/+/#'), 'a\%\_\\/%/%/%/% 3 2', 'what LIKE would take for its own is escaped');
SELECT ok('org_a/devices/x/telemetry' LIKE 'org\_a/devices/%/%' AND 'orgXa/devices/x/telemetry' NOT LIKE 'org\_a/devices/%/%', 'an underscore stands for itself');
SELECT is(mqtt.device_prefix(mqtt.default_topic_pattern(), 'org_a', 'd1'), 'org_a/devices/d1', 'a device has a prefix of its own');
SELECT is(mqtt.device_prefix('f/+/{device_id}', 'org_a', 'd1'), NULL, 'unless a level before it varies');
SELECT is(mqtt.device_prefix('{message_type}/{device_id}', 'org_a', 'd1'), NULL, 'in whatever way');

SELECT is(i.topic_like || ' ' || i.device_level || ' ' || i.message_type_level, 'org\_alice/devices/%/% 3 4', 'an integration is compiled when it is made')
FROM mqtt.device_integrations AS i WHERE i.id = :'hosted';
UPDATE mqtt.device_integrations AS i SET settings = i.settings || '{"topic_pattern": "plant/{device_id}/{message_type}"}' WHERE i.id = :'external';
SELECT is(i.topic_like || ' ' || i.device_level || ' ' || i.message_type_level, 'plant/%/% 2 3', 'and when it is changed')
FROM mqtt.device_integrations AS i WHERE i.id = :'external';
UPDATE mqtt.device_integrations AS i SET topic_like = '%', device_level = 1 WHERE i.id = :'external';
SELECT is(i.topic_like || ' ' || i.device_level, 'plant/%/% 2', 'nobody sets the compiled form by hand') FROM mqtt.device_integrations AS i WHERE i.id = :'external';
SELECT refuses(
    format($$UPDATE mqtt.device_integrations SET settings = '{"topic_pattern": "devices/{device_id}"}' WHERE id = %L$$, :'hosted'),
    'PT400', 'setting_invalid', 'at the hosted broker a pattern starts with the prefix', 'settings.topic_pattern %'
);
SELECT lives_ok(
    format($$UPDATE mqtt.device_integrations SET settings = '{"topic_pattern": "org_alice/{device_id}"}' WHERE id = %L$$, :'hosted'), 'or with what it stands for'
);
SELECT * FROM finish();
ROLLBACK;
