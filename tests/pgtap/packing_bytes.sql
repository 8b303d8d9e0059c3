-- Packs of messages that are few bytes on disk and many as text: their size, and that they are read as they were.
\ir setup.psql
SELECT plan(4);
SET LOCAL timezone = 'UTC';
SELECT (now() AT TIME ZONE 'UTC')::date - 9 AS day \gset
SELECT count(mqtt.create_partition('mqtt.history', d)) FROM (VALUES (:'day'::date)) AS d (d) \g /dev/null
INSERT INTO mqtt.mqtt_messages (organization_id, integration_id, device_id, direction, topic, message_type, received_at, measured_at, position, qos, payload)
SELECT :'org_alice', :'hosted', :'pump', 'incoming', 'org_alice/devices/pump/telemetry', 'telemetry', x.at, x.at, n, 0, x.payload::jsonb
FROM generate_series(1, 12) AS n
CROSS JOIN LATERAL (
    SELECT
        :'day'::date::timestamptz + n * interval '1 minute' AS at,
        -- As many as payloads had before there was a limit; one alone is longer than a pack's text.
        CASE n
            WHEN 1 THEN '[5e-324, 1.7976931348623157e308, -0, 1e-99]' WHEN 2 THEN format('[%s1]', repeat('5e-324,', 20000))
            ELSE format('[%s1]', repeat('1e-99,', 10000))
        END AS payload
) AS x;
ANALYZE mqtt.history;
SELECT cmp_ok((SELECT sum(pg_column_size(h.payload)) FROM mqtt.history AS h), '<', 262144::bigint, 'on disk they are less than a pack may have');
INSERT INTO mqtt.packed_days (day) VALUES (:'day');
SELECT is((mqtt.pack_messages(d, 100)).message_count, 12::bigint, 'all are packed') FROM mqtt.packed_days AS d;
SELECT is_empty(
    $$SELECT p.number FROM mqtt.packs AS p
    WHERE octet_length(p.payloads) > 4194304 + (SELECT max(octet_length(l.line)) FROM string_to_table(p.payloads, E'\n') AS l (line))$$,
    'a pack has 4 MB of text at most, and one message more'
);
UPDATE mqtt.packed_days AS d SET state = 'packed';
SELECT set_eq(
    'SELECT to_jsonb(m) FROM mqtt.packs AS p CROSS JOIN LATERAL mqtt.messages_of_pack(p.number) AS m', 'SELECT to_jsonb(h) FROM mqtt.history AS h', 'and read as they were'
);
SELECT * FROM finish();
ROLLBACK;
