-- api.mqtt_publish, its receipts, cancelling: grants, the queue rows, each documented error, isolation.
\ir setup.psql
SELECT plan(111);
SELECT function_privs_are('api', 'mqtt_publish', ARRAY['uuid', 'json', 'uuid'], 'anon', ARRAY[]::text[]);
SELECT function_privs_are('api', 'get_mqtt_publish_receipts', ARRAY['uuid[]', 'numeric'], 'anon', ARRAY[]::text[]);
SELECT function_privs_are('api', 'cancel_mqtt_publish', ARRAY['uuid[]'], 'anon', ARRAY[]::text[]);

-- As the replaced system's own curl command has it
SELECT act_as('service_role');
SELECT api.mqtt_publish(:'hosted', '[{"topic": "test/topic", "payload": {"test": true}, "qos": 0}]', :'org_alice') AS answer \gset
SELECT answered('202', 'accepted');
SELECT is(:'answer'::jsonb ->> 'status', 'queued', 'queued');
SELECT is(:'answer'::jsonb #>> '{receipts,0,index}', '0', 'with an index');
SELECT is(
    (SELECT r.state || ' ' || r.topic FROM api.get_mqtt_publish_receipts(ARRAY[(:'answer'::jsonb #>> '{receipts,0,receipt_id}')::uuid]) AS r),
    'queued test/topic', 'and a receipt'
);

SELECT act_as('authenticated', :'anna');
SELECT api.mqtt_publish(:'external', '[
    {"topic": "a", "payload": {"on": true}},
    {"topic": "a", "payload": "ON", "qos": 1, "retain": true},
    {"topic": "a", "payload": "ON", "payload_encoding": "json"},
    {"topic": "a", "payload": "AP8=", "payload_encoding": "base64", "qos": 2.0},
    {"topic": "a", "payload": "", "retain": true},
    {"topic": "a", "payload": null, "content_type": null, "qos": null, "deliver_at": null},
    {"topic": "a", "payload": 1, "qos": 2},
    {"topic": "a", "payload": 1, "qos": 1.0},
    {"topic": "a", "payload": 1, "qos": 0},
    {"topic": "a", "payload": 1, "qos": null},
    {"topic": "a", "payload": 1, "content_type": "text/plain", "response_topic": "b", "correlation_data": "aGk=", "message_expiry": 60,
     "user_properties": [["k", "v"], ["k", "w"]], "deliver_at": "2000-01-01T00:00:00Z"}
]') AS answer \gset
SELECT act_as('none');
SELECT is(
    (SELECT array_agg(q.message::text || coalesce(' ' || q.body::text, '') ORDER BY q.msg_id) FROM pgmq.q_mqtt_outbound AS q WHERE q.integration_id = :'external'),
    ARRAY[
        '{"topic": "a", "payload": {"on": true}}',
        '{"qos": 1, "topic": "a", "retain": true, "payload": "ON"} \x4f4e',
        '{"topic": "a", "payload": "ON"}',
        '{"qos": 2, "topic": "a"} \x00ff',
        '{"topic": "a", "retain": true, "payload": ""} \x',
        '{"topic": "a", "payload": null} \x',
        '{"qos": 2, "topic": "a", "payload": 1}',
        '{"qos": 1, "topic": "a", "payload": 1}',
        '{"topic": "a", "payload": 1}',
        '{"topic": "a", "payload": 1}',
        '{"topic": "a", "payload": 1, "content_type": "text/plain", "message_expiry": 60, "response_topic": "b", "user_properties": [["k", "v"], ["k", "w"]], "correlation_data": "aGk="}'
    ], 'what goes out, in order'
);
SELECT is((SELECT q.expires_at - q.vt FROM pgmq.q_mqtt_outbound AS q WHERE q.message ? 'message_expiry'), interval '60 seconds', 'it expires');
SELECT is((SELECT bool_and(q.vt = now()) FROM pgmq.q_mqtt_outbound AS q), true, 'all are due');
SELECT is(
    (SELECT array_agg((r.value ->> 'receipt_id')::uuid ORDER BY (r.value ->> 'index')::integer) FROM jsonb_array_elements(:'answer'::jsonb -> 'receipts') AS r),
    (SELECT array_agg(mqtt.message_id(q.enqueued_at, q.msg_id, true) ORDER BY q.msg_id) FROM pgmq.q_mqtt_outbound AS q WHERE q.integration_id = :'external'),
    'a receipt for each, by index'
);
SELECT doesnt_match(
    plan_of('SELECT mqtt.publish_reason(e.value), mqtt.outbound_body(e.value, e.value #>> $${}$$), mqtt.outbound_document(e.value),
        mqtt.outbound_bytes(e.value, convert_to(e.value::text, $$UTF8$$)),
        mqtt.outbound_fault(l.is_inactive, l.required_prefix, l.max_bytes, e.value ->> $$topic$$, octet_length(e.value::text))
        FROM jsonb_array_elements($$[]$$) AS e LEFT JOIN LATERAL mqtt.outbound_limits((e.value ->> $$id$$)::uuid) AS l ON true'),
    '(publish_reason|payload_reason|outbound_body|outbound_document|outbound_bytes|outbound_fault|outbound_limits)\(',
    'what each message goes through is inlined'
);
SELECT act_as('authenticated', :'anna');
SELECT api.mqtt_publish(:'hosted', json_build_array(json_build_object('topic', 'org_alice/x', 'payload', 1, 'deliver_at', now() + interval '1 hour', 'message_expiry', 1)))
    #>> '{receipts,0,receipt_id}' AS later \gset
SELECT act_as('none');
SELECT is((SELECT q.vt - now() FROM pgmq.q_mqtt_outbound AS q WHERE q.vt > now()), interval '1 hour', 'one for later is not due yet');
SELECT is((SELECT q.expires_at - q.vt FROM pgmq.q_mqtt_outbound AS q WHERE q.vt > now()), interval '1 second', 'and expires from then on');
SELECT count(*) AS queued FROM pgmq.q_mqtt_outbound \gset

-- Errors, each beside a good message; nothing is queued
SELECT act_as('authenticated', :'anna');
SELECT refuses(
    format($$SELECT api.mqtt_publish(%L, %L)$$, :'external', format('[{"topic": "a", "payload": 1}, %s]', m)), 'PT400', 'message_invalid', left(m, 60), 'messages[1]: %'
)
FROM unnest(ARRAY[
    '7', 'null', '"x"', '[]', '{}', '{"topic": "a"}', '{"payload": 1}', '{"topic": 7, "payload": 1}', '{"topic": null, "payload": 1}', '{"topic": "", "payload": 1}',
    '{"topic": "a/+", "payload": 1}', '{"topic": "#", "payload": 1}', '{"topic": "a#", "payload": 1}', '{"topic": "$SYS/x", "payload": 1}',
    '{"topic": "a\u0007", "payload": 1}', '{"topic": "\uffff", "payload": 1}', format('{"topic": "%s", "payload": 1}', repeat('x', 65536)),
    '{"topic": "a\u0000", "payload": 1}', '{"topic": "a", "payload": "\u0000"}', '{"topic": "a", "payload": "\ud800"}', '{"topic": "a", "payload": 1e100000}', '{"topic": "a", "payload": 1e-100000}',
    '{"topic": "a", "payload": {"deep": [1e309]}}', format('{"topic": "a", "payload": [%s1]}', repeat('1e-99,', 201)),
    '{"topic": "a", "payload": 1, "qos": 3}', '{"topic": "a", "payload": 1, "qos": -1}', '{"topic": "a", "payload": 1, "qos": "1"}', '{"topic": "a", "payload": 1, "qos": 0.5}',
    '{"topic": "a", "payload": 1, "qos": 1e400}', '{"topic": "a", "payload": 1, "retain": "yes"}', '{"topic": "a", "payload": 1, "retian": true}',
    '{"topic": "a", "payload": 1, "payload_encoding": "hex"}', '{"topic": "a", "payload": 1, "payload_encoding": "base64"}', '{"topic": "a", "payload": "a", "payload_encoding": "base64"}',
    '{"topic": "a", "payload": {}, "payload_encoding": "text"}', '{"topic": "a", "payload": 1, "payload_encoding": 7}',
    '{"topic": "a", "payload": 1, "content_type": ""}', '{"topic": "a", "payload": 1, "content_type": 7}', '{"topic": "a", "payload": 1, "content_type": "a\nb"}',
    '{"topic": "a", "payload": 1, "payload_format": "bytes"}', '{"topic": "a", "payload": "aGk=", "payload_format": "utf-8", "payload_encoding": "base64"}',
    '{"topic": "a", "payload": 1, "response_topic": "a/#"}', '{"topic": "a", "payload": 1, "response_topic": {}}', '{"topic": "a", "payload": 1, "response_topic": ""}',
    '{"topic": "a", "payload": 1, "correlation_data": "!"}', '{"topic": "a", "payload": 1, "correlation_data": 7}',
    '{"topic": "a", "payload": 1, "message_expiry": 0}', '{"topic": "a", "payload": 1, "message_expiry": 4294967296}', '{"topic": "a", "payload": 1, "message_expiry": "60"}',
    '{"topic": "a", "payload": 1, "user_properties": "x"}', '{"topic": "a", "payload": 1, "user_properties": {"a": 1}}', '{"topic": "a", "payload": 1, "user_properties": [["a"]]}',
    '{"topic": "a", "payload": 1, "user_properties": [["a", 1]]}', '{"topic": "a", "payload": 1, "user_properties": [7]}',
    '{"topic": "a", "payload": 1, "deliver_at": "tomorrow"}', '{"topic": "a", "payload": 1, "deliver_at": "2026-13-45T00:00:00Z"}', '{"topic": "a", "payload": 1, "deliver_at": 7}',
    '{"topic": "a", "payload": 1, "deliver_at": "9999-01-01T00:00:00Z"}'
]) AS m;
SELECT refuses(format('SELECT api.mqtt_publish(%L, %L)', :'external', m), 'PT400', 'messages_invalid', m) FROM unnest('{"{}","7","\"x\"","null"}'::text []) AS m;
SELECT refuses(format('SELECT api.mqtt_publish(%L, NULL)', :'external'), 'PT400', 'messages_invalid', 'none');
SELECT refuses(format($$SELECT api.mqtt_publish(%L, '[]')$$, :'external'), 'PT400', 'messages_empty', 'an empty array');
SELECT refuses(
    format($$SELECT api.mqtt_publish(%L, '[{"topic": "org_alice/x", "payload": 1}, {"topic": "%s", "payload": 1}]')$$, :'hosted', t), 'PT403', 'topic_not_allowed', t, 'messages[1]: %'
) FROM unnest('{org_bob/x,org_alicex/x,org_alice,x,ORG_ALICE/x}'::text []) AS t;
SELECT refuses(format($$SELECT api.mqtt_publish(%L, '[{"topic": "org_bob/x", "payload": 1}]')$$, :'bob_hosted'), 'PT404', 'integration_not_found', 'another organization''s integration');
SELECT refuses(format($$SELECT api.mqtt_publish(%L, '[{"topic": "x", "payload": 1}]', %L)$$, :'external', :'org_bob'), 'PT404', 'integration_not_found', 'the wrong organization');
SELECT refuses(format($$SELECT api.mqtt_publish(%L, '[{"topic": "x", "payload": 1}]')$$, :'unknown'), 'PT404', 'integration_not_found', 'no such integration');
SELECT act_as('authenticated', :'nobody');
SELECT refuses(format($$SELECT api.mqtt_publish(%L, '[{"topic": "x", "payload": 1}]')$$, :'external'), 'PT404', 'integration_not_found', 'a stranger');
SELECT act_as('none');
UPDATE mqtt.configuration SET max_payload_bytes = 10, max_batch_messages = 3;
SELECT act_as('authenticated', :'anna');
SELECT refuses(
    format($$SELECT api.mqtt_publish(%L, '[{"topic": "a", "payload": 1}, {"topic": "a", "payload": "%s"}]')$$, :'external', repeat('x', 11)),
    'PT413', 'payload_too_large', 'too large', 'messages[1]: %'
);
SELECT lives_ok(format($$SELECT api.mqtt_publish(%L, '[{"topic": "a", "payload": "%s"}]')$$, :'external', repeat('x', 10)), 'just not too large');
SELECT refuses(
    format($$SELECT api.mqtt_publish(%L, %L)$$, :'external', (SELECT json_agg('{"topic": "a", "payload": 1}'::json) FROM generate_series(1, 4))),
    'PT413', 'batch_too_large', 'too many'
);
SELECT refuses(format('SELECT api.get_mqtt_publish_receipts(%L)', array_fill(:'unknown'::uuid, ARRAY[4])), 'PT413', 'batch_too_large', 'too many receipts');
SELECT refuses(format('SELECT api.cancel_mqtt_publish(%L)', array_fill(:'unknown'::uuid, ARRAY[4])), 'PT413', 'batch_too_large', 'too many to cancel');
SELECT act_as('none');
UPDATE mqtt.configuration SET max_payload_bytes = 262144, max_batch_messages = 10000;
UPDATE mqtt.device_integrations SET status = 'inactive' WHERE id = :'external';
SELECT act_as('authenticated', :'anna');
SELECT refuses(format($$SELECT api.mqtt_publish(%L, '[{"topic": "a", "payload": 1}]')$$, :'external'), 'PT403', 'integration_inactive', 'switched off');
SELECT act_as('none');
UPDATE mqtt.device_integrations SET status = 'error' WHERE id = :'external';
SELECT act_as('authenticated', :'anna');
SELECT lives_ok(format($$SELECT api.mqtt_publish(%L, '[{"topic": "a", "payload": 1}]')$$, :'external'), 'a broker that is down only delays');
SELECT act_as('none');
SELECT is((SELECT count(*) FROM pgmq.q_mqtt_outbound), :queued + 2::bigint, 'what was refused queued nothing');

-- Receipts and cancelling
SELECT act_as('authenticated', :'bob');
SELECT is((SELECT r.state FROM api.get_mqtt_publish_receipts(ARRAY[:'later'::uuid]) AS r), 'unknown', 'another organization''s receipt is unknown');
SELECT is((SELECT r.state FROM api.cancel_mqtt_publish(ARRAY[:'later'::uuid]) AS r), 'unknown', 'and cannot be cancelled');
SELECT act_as('authenticated', :'anna');
SELECT is(
    (SELECT array_agg(r.state) FROM api.get_mqtt_publish_receipts(ARRAY[:'unknown', :'later', '01a20916-a609-8001-8000-000000000001']::uuid []) AS r), '{unknown,queued,unknown}',
    'states come in the order of the ids'
);
SELECT is((SELECT count(*) FROM api.get_mqtt_publish_receipts('{}')), 0::bigint, 'none for none');
SELECT is((SELECT count(*) FROM api.get_mqtt_publish_receipts(NULL)), 0::bigint, 'nor for null');
SELECT refuses(format($$SELECT * FROM api.get_mqtt_publish_receipts('{}', %L)$$, w), 'PT400', 'wait_invalid', 'wait ' || w) FROM unnest('{-1,20.1,NaN}'::text []) AS w;
SELECT lives_ok($$SELECT * FROM api.get_mqtt_publish_receipts('{}', NULL)$$, 'wait null is none');
SELECT clock_timestamp() AS before \gset
SELECT is((SELECT r.state FROM api.get_mqtt_publish_receipts(ARRAY[:'later'::uuid], 0.3) AS r), 'queued', 'still queued after the wait');
SELECT ok(clock_timestamp() - :'before'::timestamptz BETWEEN '0.3 seconds' AND '2 seconds', 'which lasted as long as it was asked to');
SELECT is((SELECT r.state FROM api.cancel_mqtt_publish(ARRAY[:'later'::uuid]) AS r), 'cancelled', 'cancelled');
SELECT is((SELECT r.state FROM api.get_mqtt_publish_receipts(ARRAY[:'later'::uuid], 20) AS r), 'cancelled', 'and settled, so that nobody waits');
SELECT is((SELECT r.state FROM api.mqtt_publish_receipts AS r WHERE r.id = :'later'), 'cancelled', 'the view shows it');
SELECT act_as('none');
SELECT is((SELECT count(*) FROM pgmq.q_mqtt_outbound AS q WHERE q.vt > now()), 0::bigint, 'it is out of the queue');
SELECT mqtt.message_id(q.enqueued_at, q.msg_id, true) AS held, q.msg_id AS held_number FROM pgmq.q_mqtt_outbound AS q WHERE q.integration_id = :'external' ORDER BY q.msg_id LIMIT 1 \gset
INSERT INTO mqtt.outbound_batches (organization_id, integration_id, bridge_id, msg_ids) VALUES (:'org_alice', :'external', gen_random_uuid(), ARRAY[:held_number]);
SELECT act_as('authenticated', :'anna');
SELECT is((SELECT r.state FROM api.cancel_mqtt_publish(ARRAY[:'held'::uuid]) AS r), 'queued', 'what a bridge has claimed is not cancelled');
SELECT * FROM finish();
ROLLBACK;
