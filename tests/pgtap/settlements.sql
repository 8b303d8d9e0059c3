-- The order of settling: what is written for a batch, reading on from any message, cursors, gaps, retention.
\ir setup.psql
SELECT plan(26);
SELECT number AS alice_number FROM mqtt.organizations WHERE id = :'org_alice' \gset
SELECT number AS bob_number FROM mqtt.organizations WHERE id = :'org_bob' \gset
-- Payloads 1 to 9 of alice and 101 to 109 of bob, alternating, as two organizations that send at the same time.
DELETE FROM mqtt.settlements;
INSERT INTO pgmq.q_mqtt_messages (vt, organization_id, integration_id, message)
SELECT now(), o.organization_id, o.integration_id, jsonb_build_object('topic', o.prefix || '/t', 'payload', o.base + n)
FROM generate_series(1, 9) AS n
CROSS JOIN (
    VALUES (:'org_alice'::uuid, :'hosted'::uuid, 'org_alice', 0), (:'org_bob', :'bob_hosted', 'org_bob', 100)
) AS o (organization_id, integration_id, prefix, base)
ORDER BY n, o.base;
SELECT is((mqtt.process_batch(1000) ->> 'processed')::integer, 18, 'a batch of two organizations');
SELECT results_eq(
    'SELECT message_count, cardinality(low_positions), is_outgoing FROM mqtt.settlements ORDER BY number', 'VALUES (9, 9, false), (9, 9, false)', 'one row for each'
);
CREATE FUNCTION tap.read(start mqtt.stream_position, most integer, OUT payloads integer [], OUT reached mqtt.stream_position, OUT is_gap boolean)
LANGUAGE plpgsql AS $$
DECLARE
    v_row record;
BEGIN
    payloads := '{}';
    reached := start;
    is_gap := false;
    FOR v_row IN SELECT * FROM mqtt.settled_messages(ARRAY[start], most) LOOP
        payloads := payloads || ARRAY(SELECT ((v_row.message).payload #>> '{}')::integer WHERE (v_row.message).id IS NOT NULL);
        is_gap := is_gap OR v_row.is_missing;
        reached := ROW(v_row.organization, v_row.incoming, v_row.outgoing, v_row.incoming_place, v_row.outgoing_place);
    END LOOP;
END;
$$;
CREATE FUNCTION tap.pages(start mqtt.stream_position, most integer) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    v_page record;
    v_pages text;
BEGIN
    LOOP
        SELECT * INTO v_page FROM tap.read(start, most);
        EXIT WHEN v_page.payloads = '{}';
        v_pages := concat_ws(' ', v_pages, array_to_string(v_page.payloads, ','));
        -- As the next reader gets it.
        SELECT c.organization, c.incoming, c.outgoing, c.incoming_place, c.outgoing_place INTO start
        FROM mqtt.read_stream_cursor(mqtt.stream_cursor(
            (v_page.reached).organization, (v_page.reached).incoming, (v_page.reached).outgoing, (v_page.reached).incoming_place,
            (v_page.reached).outgoing_place, now()
        )) AS c;
    END LOOP;
    RETURN v_pages;
END;
$$;
SELECT is(tap.pages(ROW(:alice_number, 0, 0, 0, 0)::mqtt.stream_position, 100), '1,2,3,4,5,6,7,8,9', 'all of one organization, in order');
SELECT is(tap.pages(ROW(:bob_number, 0, 0, 0, 0)::mqtt.stream_position, 100), '101,102,103,104,105,106,107,108,109', 'and of the other');
SELECT is(tap.pages(ROW(:alice_number, 0, 0, 0, 0)::mqtt.stream_position, 4), '1,2,3,4 5,6,7,8 9', 'inside a settlement, a page at a time');
-- Another batch, and a settlement of another time.
INSERT INTO pgmq.q_mqtt_messages (vt, organization_id, integration_id, message)
SELECT now(), :'org_alice', :'hosted', jsonb_build_object('topic', 'org_alice/t', 'payload', n) FROM generate_series(10, 13) AS n;
INSERT INTO pgmq.q_mqtt_messages (vt, enqueued_at, organization_id, integration_id, message)
VALUES (now(), now() - interval '1 hour', :'org_alice', :'hosted', '{"topic": "org_alice/t", "payload": 99}');
SELECT is((mqtt.process_batch(1000) ->> 'processed')::integer, 5, 'a second batch');
SELECT results_eq(
    'SELECT message_count, low_positions IS NULL FROM mqtt.settlements ORDER BY number OFFSET 2', 'VALUES (1, true), (4, false)', 'a row for each second of acceptance, without a list where there is no gap'
);
SELECT is(tap.pages(ROW(:alice_number, 0, 0, 0, 0)::mqtt.stream_position, 5), '1,2,3,4,5 6,7,8,9,99 10,11,12,13', 'pages across settlements');
SELECT is(tap.pages(ROW(:alice_number, 0, 0, 0, 0)::mqtt.stream_position, 11), '1,2,3,4,5,6,7,8,9,99,10 11,12,13', 'pages that end inside a settlement without a list');
SELECT is(tap.pages(s, 5), NULL, 'nothing comes after the head') FROM mqtt.stream_head(ARRAY[:alice_number]) AS s;
-- Published messages have positions of their own.
INSERT INTO pgmq.q_mqtt_outbound (vt, organization_id, integration_id, message)
SELECT now(), :'org_alice', :'external', jsonb_build_object('topic', 'org_alice/out', 'payload', n) FROM generate_series(201, 203) AS n;
SELECT is(
    mqtt.settle_outbound(array_agg(q.msg_id), array_agg(CASE n WHEN 2 THEN 'failed' ELSE 'sent' END), array_agg(0::smallint), array_agg(''::text)) ->> 'sent', '2', 'published'
) FROM (SELECT q.msg_id, row_number() OVER (ORDER BY q.msg_id) AS n FROM pgmq.q_mqtt_outbound AS q) AS q;
SELECT is(
    tap.pages(ROW(:alice_number, 0, 0, 0, 0)::mqtt.stream_position, 100), '1,2,3,4,5,6,7,8,9,99,10,11,12,13,201,203', 'what was published follows, without what failed'
);
-- Cursors.
SELECT mqtt.stream_cursor(7, 12345678901, 2, 3, 4, '2026-01-01 10:30:00Z') AS cursor \gset
SELECT is((SELECT r::text FROM mqtt.read_stream_cursor(:'cursor') AS r), '(7,12345678901,2,3,4,"2026-01-01 10:00:00+00")', 'a cursor keeps its position and the hour');
SELECT isnt(:'cursor', mqtt.stream_cursor(7, 12345678902, 2, 3, 4, '2026-01-01 10:30:00Z'), 'each position has its own');
SELECT refuses(format('SELECT mqtt.read_stream_cursor(%L)', c), 'PT400', 'cursor_invalid', 'what is no cursor is refused')
FROM unnest(ARRAY['', 'x', 'æ', repeat('A', 43), repeat('A', 44), repeat('_', 43), :'cursor' || 'A']) AS c;
-- The history is trimmed: whoever reads on is told.
DELETE FROM mqtt.history AS h WHERE h.organization = :alice_number AND h.payload IN ('3', '99');
SELECT is(
    (SELECT (r.payloads, r.is_gap)::text FROM tap.read(ROW(:alice_number, 0, 0, 0, 0)::mqtt.stream_position, 100) AS r),
    '("{1,2,4,5,6,7,8,9,10,11,12,13,201,203}",t)', 'a gap where the history lacks messages, also all of a settlement'
);
-- Retention.
SELECT ok(mqtt.create_partition('mqtt.settlements', current_date - 9) AND mqtt.create_partition('mqtt.settlements', current_date - 8), 'partitions of days that are over');
SELECT ok(mqtt.apply_retention() IS NOT NULL AND to_regclass(format('mqtt.settlements_%s', to_char(current_date - 9, 'YYYYMMDD'))) IS NULL
    AND to_regclass(format('mqtt.settlements_%s', to_char(current_date - 7, 'YYYYMMDD'))) IS NULL, 'go after settled_days');
-- The stream's role.
SELECT is_empty(
    $$SELECT c.oid::regclass FROM pg_catalog.pg_class AS c WHERE c.relnamespace IN ('mqtt'::regnamespace, 'api'::regnamespace, 'bridge'::regnamespace)
        AND c.relkind IN ('r', 'p', 'v') AND has_table_privilege('topicbase_stream', c.oid, 'select, insert, update, delete')$$, 'the stream reads no table'
);
SELECT set_eq(
    $$SELECT p.proname FROM pg_catalog.pg_proc AS p WHERE p.pronamespace IN ('mqtt'::regnamespace, 'api'::regnamespace, 'bridge'::regnamespace)
        AND has_function_privilege('topicbase_stream', p.oid, 'execute')$$,
    '{begin_stream,count_stream,open_states,open_stream,redeem_stream_ticket,stream_integrations,stream_key,stream_members,stream_messages,stream_presence,stream_receipts,stream_routes,stream_statistics,watch_stream}'::name [], 'and calls its own functions'
);
SELECT * FROM finish();
ROLLBACK;
