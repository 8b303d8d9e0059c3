-- Copies of one message that a broker sends for each filter that matches: which one is kept, what it names, and that there always is one.
\ir setup.psql
SELECT plan(20);
\set bridge 'bbbbbbbb-0000-4000-8000-000000000001'
DELETE FROM mqtt.bridges;
INSERT INTO mqtt.bridges (id, name, version, main_pid) VALUES (:'bridge', 'a', '1', 1);
INSERT INTO mqtt.bridge_leases (organization_id, integration_id, bridge_id) VALUES (:'org_alice', :'external', :'bridge');
INSERT INTO mqtt.mqtt_subscriptions (organization_id, integration_id, topic, qos, granted_qos, no_local, status, active_at, number)
SELECT :'org_alice', :'external', v.topic, v.qos, v.qos, v.no_local, v.status, now() + v.number * interval '1 second', v.number
FROM (VALUES
    ('a/#', 1, true, 'active', 1), ('a/+', 1, true, 'active', 2), ('a/b', 2, true, 'active', 3), ('+/b', 0, true, 'active', 4),
    ('#', 1, false, 'active', 5), ('$share/g/a/#', 1, false, 'active', 6), ('a/b/#', 1, true, 'error', 7)
) AS v (topic, qos, no_local, status, number);

-- Which of the copies of a message to a/b are kept, where the broker sends one for each of these filters.
CREATE FUNCTION tap.kept(numbers integer [], message_qos integer DEFAULT 1, retain boolean DEFAULT false) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    v_kept text;
BEGIN
    DELETE FROM pgmq.q_mqtt_messages;
    PERFORM bridge.ingest(
        'bbbbbbbb-0000-4000-8000-000000000001', ARRAY['11111111-0000-4000-8000-000000000020']::uuid [], array_agg(1), array_agg('a/b'::text),
        array_agg(convert_to(n::text, 'UTF8')), array_agg(least(coalesce(s.granted_qos, 1), message_qos)::smallint), array_agg(kept.retain),
        subscription_numbers => array_agg(n)
    )
    FROM unnest(numbers) AS n LEFT JOIN mqtt.mqtt_subscriptions AS s ON s.number = n;
    SELECT string_agg(convert_from(q.body, 'UTF8'), ',' ORDER BY q.body) INTO v_kept FROM pgmq.q_mqtt_messages AS q;
    RETURN v_kept;
END;
$$;
SELECT is(kept('{1}'), '1', 'a lone copy');
SELECT is(kept('{1,2}'), '1', 'of two, that of the filter that was there first');
SELECT is(kept('{2,1}'), '1', 'in whatever order they come');
SELECT is(kept('{3,2,1}', 2), '1', 'though a later one has a higher QoS: it comes at least once');
SELECT is(kept('{1,2,3,4}', 0), '3', 'of QoS 0, that of the filter with the highest');
SELECT is(kept('{4,1,2}'), '1', 'and a copy of QoS 0 gives way to one of QoS 1, which comes at least once');
SELECT is(kept('{1,5}'), '1,5', 'a filter that asks for what the integration publishes itself may have a message that others have not');
SELECT is(kept('{1,6}'), '1,6', 'what came by a shared filter may have come to nobody else');
SELECT is(kept('{1,2}', 1, true), '1,2', 'what was retained is sent to a filter when that is subscribed to');
SELECT is(kept('{1,0}'), '0,1', 'of which filter it is, is not known');
SELECT is(kept('{1,99}'), '1,99', 'of a filter that ended or changed: the broker had it queued');
SELECT is(
    bridge.ingest(:'bridge', ARRAY[:'external']::uuid [], '{1,1}', '{a/b,a/b}', '{x,x}', '{1,1}', '{f,f}') ->> 'queued', '2', 'a lone filter is not looked at'
);
UPDATE mqtt.mqtt_subscriptions SET status = 'error' WHERE number = 1;
SELECT is(kept('{1,2}'), '1,2', 'a filter that the broker does not hold counts for nothing');
UPDATE mqtt.mqtt_subscriptions SET status = 'active', active_at = now() + interval '1 hour' WHERE number = 1;
SELECT is(kept('{1,2}'), '2', 'it is the time that counts, not the number');
UPDATE mqtt.mqtt_subscriptions SET active_at = now() WHERE number = 1;
SELECT is(
    bridge.ingest(:'bridge', ARRAY[:'external']::uuid [], '{1,1}', '{a/b,a/b}', '{x,x}', '{2,1}', '{f,f}', subscription_numbers => '{3,1}'),
    '{"dead": 0, "queued": 1, "repeated": 1, "passed_over": 0}', 'a copy that is left out is counted as a repeat'
);
SELECT bag_eq(
    $$SELECT s.topic FROM pgmq.q_mqtt_messages AS q
        CROSS JOIN LATERAL jsonb_array_elements_text(q.message -> 'properties' -> 'subscription_ids') AS n (id)
        JOIN mqtt.mqtt_subscriptions AS s ON s.id = n.id::uuid
        WHERE q.msg_id = (SELECT max(msg_id) FROM pgmq.q_mqtt_messages)$$,
    '{a/#,a/+,a/b,+/b,#,$share/g/a/#}'::text [], 'what is kept names all that match'
);
SELECT s.id, s.number FROM mqtt.mqtt_subscriptions AS s WHERE s.topic = 'a/b' \gset
SELECT act_as('authenticated', :'alice');
SELECT is(api.mqtt_subscribe(:'external', 'a/b', 2) ? 'number', false, 'the number is the bridge''s');
SELECT act_as('none');
SELECT is(s.number, :number, 'asked for as before, it stays') FROM mqtt.mqtt_subscriptions AS s WHERE s.id = :'id';
SELECT act_as('authenticated', :'alice');
SELECT api.mqtt_subscribe(:'external', 'a/b', 1);
SELECT act_as('none');
SELECT isnt(s.number, :number, 'asked for otherwise, it is another') FROM mqtt.mqtt_subscriptions AS s WHERE s.id = :'id';
SELECT bridge.subscription_results(:'bridge', ARRAY[:'id']::uuid [], '{1}', '{ok}');
SELECT ok(s.active_at > now(), 'and active from the broker''s answer on') FROM mqtt.mqtt_subscriptions AS s WHERE s.id = :'id';
SELECT * FROM finish();
ROLLBACK;
