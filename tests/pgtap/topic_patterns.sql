-- settings.topic_pattern: what is one, and what the queue worker makes of it.
\ir setup.psql
SELECT plan(50);
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
$$SELECT format('%s %s %s %s', l.topic_like, l.topic_levels, l.device_level, l.message_type_level) FROM mqtt.topic_pattern_levels(pattern, 'org_a') AS l$$;
SELECT is(pg_temp.compiled(mqtt.default_topic_pattern()), 'org\_a/devices/%/% 4 3 4', 'the default, compiled');
SELECT is(pg_temp.compiled('{device_id}'), '% 1 1 0', 'no message type');
SELECT is(pg_temp.compiled('a%_\/{message_type}/{device_id}/+/#'), 'a\%\_\\/%/%/% -4 3 2', 'what LIKE would take for its own is escaped');
SELECT ok('org_a/devices/x/telemetry' LIKE 'org\_a/devices/%/%' AND 'orgXa/devices/x/telemetry' NOT LIKE 'org\_a/devices/%/%', 'an underscore stands for itself');
CREATE FUNCTION pg_temp.device(pattern text, topic text) RETURNS text LANGUAGE sql AS
$$SELECT (mqtt.matched_levels(topic, l.topic_like, l.topic_levels))[l.device_level] FROM mqtt.topic_pattern_levels(pattern, 'org_a') AS l$$;
SELECT is(pg_temp.device(m.pattern, m.topic), m.device, format('%s of %s', m.pattern, m.topic))
FROM (VALUES
    ('x/{device_id}/up', 'x/dev3/up', 'dev3'),
    ('x/{device_id}/up', 'x/floor1/room2/dev3/up', NULL),
    ('x/{device_id}/up', 'x/dev3/down', NULL),
    ('x/{device_id}/up', 'x/dev3/up/', NULL),
    ('homie/{device_id}/+/+', 'homie/thermo/env/temp', 'thermo'),
    ('homie/{device_id}/+/+', 'homie/thermo/env/temp/set', NULL),
    ('a/{device_id}/#', 'a/d', 'd'),
    ('a/{device_id}/#', 'a/d/x/y', 'd'),
    ('a/{device_id}/#', 'a', NULL),
    ('a/{device_id}/#', 'b/d/x', NULL),
    ('a/{device_id}/b/#', 'a/c/d/b/x', NULL),
    ('{device_id}/#', '$SYS/broker/uptime', NULL),
    ('{device_id}/#', 'd', 'd'),
    ('+/{device_id}', '$SYS/broker', NULL),
    ('$aws/things/{device_id}/#', '$aws/things/t1/shadow', 't1'),
    ('%/{device_id}', 'x/d', NULL),
    ('%/{device_id}', '%/d', 'd'),
    ('{device_id}/+', '/x', ''),
    ('/{device_id}', '/d', 'd')
) AS m (pattern, topic, device);
CREATE FUNCTION pg_temp.expression(filter text) RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN f.bare ~ '^[+#]' THEN '^(?!\$)' ELSE '^' END || CASE
        WHEN f.bare = '#' THEN ''
        ELSE replace(regexp_replace(regexp_replace(f.bare, '/#$', ''), '([.*?\\^${}()|\[\]])', '\\\1', 'g'), '+', '[^/]*')
            || CASE WHEN f.bare LIKE '%/#' THEN '(/|$)' ELSE '$' END
    END
    FROM (SELECT regexp_replace(filter, '^\$share/[^/]+/', '') AS bare) AS f
$$;
-- Filters as levels and as regular expressions, from each of these as a level, with # or $share/ or neither, against all topics of them.
SELECT is_empty(
    $$
    WITH level AS MATERIALIZED (SELECT l FROM unnest('{a,b,+,"",$x,%,_,c\\d}'::text []) AS l),
    part AS MATERIALIZED (SELECT l AS p FROM level UNION ALL SELECT a.l || '/' || b.l FROM level AS a CROSS JOIN level AS b),
    filter AS MATERIALIZED (
        SELECT '$share/g/' || p AS f FROM part
        UNION ALL SELECT p FROM part
        UNION ALL SELECT p || '/#' FROM part
        UNION ALL SELECT f FROM unnest('{#,$share/g/#,+/+/+,a/+/a,a/b/+/#}'::text []) AS f
    )
    SELECT f.f, p.p
    FROM filter AS f CROSS JOIN part AS p CROSS JOIN LATERAL mqtt.topic_filter_levels(f.f) AS l
    WHERE mqtt.topic_filter_reason(f.f) IS NULL AND p.p !~ '[+]' AND p.p <> ''
        AND (mqtt.matched_levels(p.p, l.topic_like, l.topic_levels) IS NOT NULL) IS DISTINCT FROM (p.p ~ pg_temp.expression(f.f))
    $$, 'a filter as levels matches what it matches as a regular expression'
);
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
