-- api.mqtt_ingest, _batch and _binary: logins, every documented error, what is queued, repeats, quotas.
\ir setup.psql
SELECT plan(109);

SELECT jsonb_build_object('x-username', 'pump_login', 'x-password', :'pump_password', 'x-client-id', 'pump_login_1') AS login \gset
SELECT jsonb_build_object(
    'authorization', 'Basic ' || translate(encode(convert_to('pump_login:' || :'pump_password', 'UTF8'), 'base64'), E'\n', ''), 'x-client-id', 'pump_login_1'
) AS basic \gset

-- Logging in.
SELECT act_as('anon', NULL, :'login');
SELECT matches(api.mqtt_ingest('org_alice/devices/pump/telemetry', '{"t": 1}') ->> 'message_id', '^[0-9a-f-]{36}$', 'a device posts with its own headers');
SELECT answered('202', 'accepted');
SELECT act_as('anon', NULL, :'basic');
SELECT is(api.mqtt_ingest('org_alice/devices/pump/telemetry', '{"t": 2}') ->> 'status', 'queued', 'a device posts with HTTP Basic');
SELECT act_as('authenticated', :'bob', :'login');
SELECT is(api.mqtt_ingest('org_alice/devices/pump/telemetry', '{"t": 3}') ->> 'status', 'queued', 'a JWT beside the device''s login changes nothing');
SELECT is(api.mqtt_ingest('org_alice/devices/pump/telemetry', '1') ->> 'message', 'invalid_credentials', c.why)
FROM (VALUES
    ('{"x-password": "wrong"}'::jsonb, 'a wrong password'), ('{"x-username": "nobody"}', 'an unknown username'),
    ('{"x-client-id": "other"}', 'another client id'), ('{"x-username": null}', 'no username'), ('{"x-password": null}', 'no password'),
    ('{"x-client-id": null}', 'no client id'), ('{"authorization": "Basic bm9ib2R5OngK"}', 'a wrong Basic login, though the headers are right'),
    ('{"x-username": "pump_login'' OR ''1''=''1"}', 'SQL for a username')
) AS c (change, why)
CROSS JOIN LATERAL (SELECT count(*) AS done FROM act_as('anon', NULL, :'login'::jsonb || c.change)) AS a
WHERE a.done = 0;
SELECT answered('401', 'unauthorized');
SELECT act_as('none');
UPDATE mqtt.mqtt_credentials SET expires_at = now() - interval '1 second' WHERE id = :'pump_login';
SELECT act_as('anon', NULL, :'login');
SELECT is(api.mqtt_ingest('org_alice/devices/pump/telemetry', '1') ->> 'message', 'invalid_credentials', 'an expired credential');
SELECT act_as('none');
UPDATE mqtt.mqtt_credentials SET expires_at = NULL, revoked_at = now() WHERE id = :'pump_login';
SELECT act_as('anon', NULL, :'login');
SELECT is(api.mqtt_ingest('org_alice/devices/pump/telemetry', '1') ->> 'message', 'invalid_credentials', 'a revoked credential');
SELECT act_as('none');
UPDATE mqtt.mqtt_credentials SET revoked_at = NULL, can_publish = false WHERE id = :'pump_login';
SELECT act_as('anon', NULL, :'login');
SELECT refuses($$SELECT api.mqtt_ingest('org_alice/devices/pump/telemetry', '1')$$, 'PT403', 'publish_not_allowed', 'a credential that only subscribes');
SELECT act_as('none');
UPDATE mqtt.mqtt_credentials SET can_publish = true WHERE id = :'pump_login';
UPDATE mqtt.device_integrations SET status = 'inactive' WHERE id = :'hosted';
SELECT act_as('anon', NULL, :'login');
SELECT refuses($$SELECT api.mqtt_ingest('org_alice/devices/pump/telemetry', '1')$$, 'PT403', 'integration_inactive', 'an integration that is switched off');
SELECT act_as('none');
UPDATE mqtt.mqtt_credentials SET publish_filters = '{org_alice/+/pump/#}' WHERE id = :'pump_login';
UPDATE mqtt.device_integrations SET status = 'error' WHERE id = :'hosted';
SELECT act_as('anon', NULL, :'login');
SELECT is(api.mqtt_ingest('org_alice/devices/pump/telemetry', '1') ->> 'status', 'queued', 'a broker that is down does not stop ingest');
SELECT refuses($$SELECT api.mqtt_ingest('org_alice/devices/valve/telemetry', '1')$$, 'PT403', 'topic_not_allowed', 'outside the credential''s filters');
SELECT act_as('none');
UPDATE mqtt.mqtt_credentials SET publish_filters = NULL, previous_salt = secret_salt, previous_hash = secret_hash, previous_until = now() + interval '1 minute',
    secret_hash = sha256('new') WHERE id = :'pump_login';
SELECT act_as('anon', NULL, :'login');
SELECT is(api.mqtt_ingest('org_alice/devices/pump/telemetry', '1') ->> 'status', 'queued', 'the password before a rotation works for its grace');
SELECT act_as('none');
UPDATE mqtt.mqtt_credentials SET previous_until = now() WHERE id = :'pump_login';
SELECT act_as('anon', NULL, :'login');
SELECT is(api.mqtt_ingest('org_alice/devices/pump/telemetry', '1') ->> 'message', 'invalid_credentials', 'and not after it');
SELECT act_as('none');
UPDATE mqtt.mqtt_credentials SET secret_hash = previous_hash WHERE id = :'pump_login';
DELETE FROM pgmq.q_mqtt_messages;

-- What a message must be.
SELECT act_as('anon', NULL, :'login');
SELECT refuses(format('SELECT api.mqtt_ingest(%L, %L, %L)', c.topic, c.payload, c.qos), c.code, c.slug, c.why)
FROM (VALUES
    ('org_bob/devices/pump/telemetry', '1', '0', 'PT403', 'topic_not_allowed', 'another organization''s topic'),
    ('org_alice2/x', '1', '0', 'PT403', 'topic_not_allowed', 'a prefix of letters, not of levels'),
    ('org_alice', '1', '0', 'PT403', 'topic_not_allowed', 'the prefix itself'),
    ('org_alice/+/x', '1', '0', 'PT400', 'topic_invalid', 'a wildcard'),
    ('$SYS/broker', '1', '0', 'PT400', 'topic_invalid', 'a topic of the broker''s'),
    ('', '1', '0', 'PT400', 'topic_invalid', 'no topic'),
    ('org_alice/x', '1', '3', 'PT400', 'qos_invalid', 'QoS 3'),
    ('org_alice/x', '1', '-1', 'PT400', 'qos_invalid', 'QoS -1'),
    ('org_alice/x', '1e100000', '0', 'PT400', 'payload_invalid', 'a number that jsonb would inflate'),
    ('org_alice/x', '[{"a": -1.5E+0400}]', '0', 'PT400', 'payload_invalid', 'the same deep inside'),
    ('org_alice/x', '1e-100000', '0', 'PT400', 'payload_invalid', 'a number too small to be one'),
    ('org_alice/x', '"a\u0000"', '0', 'PT400', 'payload_invalid', 'a NUL'),
    ('org_alice/x', '"\ud800"', '0', 'PT400', 'payload_invalid', 'half a surrogate pair'),
    ('org_alice/x', repeat('[', 129) || repeat(']', 129), '0', 'PT400', 'payload_too_deep', '129 levels'),
    ('org_alice/x', '"' || repeat('x', 262145) || '"', '0', 'PT413', 'payload_too_large', 'a payload over the limit')
) AS c (topic, payload, qos, code, slug, why);
SELECT refuses($$SELECT api.mqtt_ingest('org_alice/x', '"AQI"', payload_encoding => 'base64')$$, 'PT400', 'payload_not_base64', 'base64 without padding');
SELECT refuses($$SELECT api.mqtt_ingest('org_alice/x', '1', payload_encoding => 'base64')$$, 'PT400', 'payload_not_base64', 'base64 that is no string');
SELECT refuses($$SELECT api.mqtt_ingest('org_alice/x', '1', payload_encoding => 'gzip')$$, 'PT400', 'payload_encoding_invalid', 'an unknown encoding');
SELECT refuses($$SELECT api.mqtt_ingest('org_alice/x', '1', payload_encoding => 'text')$$, 'PT400', 'payload_encoding_invalid', 'text that is no string');
SELECT refuses(format('SELECT api.mqtt_ingest(%L, %L, content_type => %L)', 'org_alice/x', '1', repeat('x', 256)), 'PT400', 'content_type_invalid', 'a long content type');
SELECT is(api.mqtt_ingest('org_alice/x', '"1e100000 is only text"') ->> 'status', 'queued', 'what looks like a huge number may stand in a string');
SELECT act_as('none');
SELECT results_eq($$SELECT count(*) FROM pgmq.q_mqtt_messages$$, ARRAY[1::bigint], 'nothing of what was refused is queued');
DELETE FROM pgmq.q_mqtt_messages;

-- The fast way of mqtt_ingest, and what must not take it.
SELECT act_as('anon', NULL, :'login');
SELECT api.mqtt_ingest('org_alice/x', '{"b": [1, 2.50, "é"], "a": null}');
SELECT api.mqtt_ingest('org_alice/x', '{"b": [1, 2.50, "é"], "a": null}', payload_encoding => 'json');
SELECT act_as('none');
SELECT results_eq(
    $$SELECT count(*), count(DISTINCT to_jsonb(q) - '{msg_id,enqueued_at,vt}'::text[]), bool_and(q.vt BETWEEN now() AND clock_timestamp())
    FROM pgmq.q_mqtt_messages AS q$$,
    $$VALUES (2::bigint, 1::bigint, true)$$, 'a message leaves the same row by the fast way as by the general one'
);
DELETE FROM pgmq.q_mqtt_messages;
SELECT act_as('anon', NULL, :'login');
SELECT api.mqtt_ingest('org_alice/x', '1', retain => 'true');
SELECT api.mqtt_ingest('org_alice/x', '1', "timestamp" => '"2026-01-02T03:04:05Z"');
SELECT act_as('none');
SELECT results_eq(
    $$SELECT q.message - '{topic,payload}'::text[] FROM pgmq.q_mqtt_messages AS q ORDER BY q.msg_id$$,
    $$VALUES ('{"retain": true}'::jsonb), ('{"timestamp": "2026-01-02T03:04:05+00:00"}')$$, 'what is not the default is kept, each for itself'
);
DELETE FROM pgmq.q_mqtt_messages;
CREATE FUNCTION pg_temp.outcome(statement text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    v_answer json;
BEGIN
    EXECUTE statement INTO v_answer;
    RETURN coalesce(v_answer ->> 'status', v_answer::text) || (SELECT to_jsonb(q) - '{msg_id,enqueued_at,vt}'::text [] FROM pgmq.q_mqtt_messages AS q ORDER BY q.msg_id DESC LIMIT 1);
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END;
$$;
SELECT act_as('none', NULL, :'login');
SELECT is(
    pg_temp.outcome(format('SELECT api.mqtt_ingest(%L, %L, %L, %L, "timestamp" => %L)', c.topic, c.payload, to_json(c.qos), to_json(c.retain), to_json(c.stamp))),
    pg_temp.outcome(format('SELECT mqtt.ingest_message(%L, %L, %L, %L, NULL, NULL, NULL, %L)', c.topic, c.payload, to_json(c.qos), to_json(c.retain), c.stamp)),
    format('the fast way and the general way, of %s', left(c::text, 80))
)
FROM (VALUES
    ('org_alice/x', '1', 0, false, NULL), ('org_alice/x', '{"b": [1, 2.50, "é"], "b": null}', 1, true, '2026-01-02T03:04:05.678+02'), ('org_alice/x', 'null', NULL, NULL, NULL),
    ('org_alice/x', '"\n"', 2, false, NULL), ('org_alice/x', '"\u00e9"', 0, false, NULL), ('org_alice/x', '"\u0000"', 0, false, NULL), ('org_alice/x', '1e99', 0, false, NULL),
    ('org_alice/x', '1e999', 0, false, NULL), ('org_alice/x', repeat('9', 20), 0, false, NULL), ('org_alice/x', '"' || repeat('x', 2000) || '"', 0, false, NULL),
    ('org_alice/x', '1', 3, false, NULL), ('org_alice/x', '1', 0, false, 'infinity'), ('org_alice/x', NULL, 0, false, NULL), ('org_alice/é', '1', 0, false, NULL),
    ('org_alice', '1', 0, false, NULL), ('org_alicex/x', '1', 0, false, NULL), ('org_alice/+', '1', 0, false, NULL), (NULL, '1', 0, false, NULL)
) AS c (topic, payload, qos, retain, stamp);
DELETE FROM pgmq.q_mqtt_messages;
SELECT cmp_ok(max(pg_column_size(p.payload::jsonb)::numeric / octet_length(p.payload)), '<=', 32::numeric, 'the fast way''s bound for the size of a payload as jsonb')
FROM (VALUES
    ('1'), ('-1'), ('""'), ('[]'), ('{}'), ('null'), ('{"":1}'), ('["",1]'), (repeat('[', 400) || repeat(']', 400)),
    (repeat('[1,', 200) || '1' || repeat(']', 200)), ('[1' || repeat(',1', 400) || ']'), (repeat('{"":', 150) || '1' || repeat('}', 150)),
    ('[1e99' || repeat(',1e99', 150) || ']'), ('[1e-99' || repeat(',1e-99', 150) || ']'), ('[1e9,' || repeat('{"":1e99},', 90) || '[]]')
) AS p (payload);
UPDATE mqtt.organizations SET max_payload_bytes = 20 WHERE id = :'org_alice';
SELECT act_as('anon', NULL, :'login');
SELECT refuses($$SELECT api.mqtt_ingest('org_alice/x', '"0123456789abcdef"')$$, 'PT413', 'payload_too_large', 'an organization''s own limit');
SELECT is(api.mqtt_ingest('org_alice/x', '1') ->> 'status', 'queued', 'and what is within it');
SELECT act_as('none');
UPDATE mqtt.organizations SET max_payload_bytes = NULL WHERE id = :'org_alice';
UPDATE mqtt.configuration SET max_payload_bytes = 20;
SELECT act_as('anon', NULL, :'login');
SELECT refuses($$SELECT api.mqtt_ingest('org_alice/x', '"0123456789abcdef"')$$, 'PT413', 'payload_too_large', 'the installation''s limit');
SELECT act_as('anon', NULL, :'basic'::jsonb || '{"authorization": "Basic cHVtcF9sb2dpbjp3cm9uZw=="}');
SELECT is(api.mqtt_ingest('org_alice/x', '1') ->> 'message', 'invalid_credentials', 'a wrong password by HTTP Basic');
SELECT act_as('none');
UPDATE mqtt.configuration SET max_payload_bytes = 262144;
DELETE FROM pgmq.q_mqtt_messages;

-- What is queued.
SELECT act_as('anon', NULL, :'login');
SELECT api.mqtt_ingest(
    'org_alice/devices/pump/telemetry', '{"b": 1, "b": 2}', '2', 'true', 'application/json', NULL, 'aaaaaaaa-0000-4000-8000-000000000001', '"2026-01-02T03:04:05Z"'
) ->> 'message_id' AS message_id \gset
SELECT is(:'message_id'::text, 'aaaaaaaa-0000-4000-8000-000000000001', 'the client''s own message id is answered');
SELECT is(
    api.mqtt_ingest('org_alice/devices/pump/telemetry', '{"b": 3}', message_id => 'aaaaaaaa-0000-4000-8000-000000000001') ->> 'message_id',
    :'message_id'::text, 'and so is its repeat'
);
SELECT answered('202', 'a repeat is accepted');
SELECT act_as('none');
SELECT results_eq(
    $$SELECT message, organization_id, integration_id, credential_id, message_id FROM pgmq.q_mqtt_messages$$,
    format(
        'VALUES (%L::jsonb, %L::uuid, %L::uuid, %L::uuid, %L::uuid)',
        '{"qos": 2, "topic": "org_alice/devices/pump/telemetry", "retain": true, "payload": {"b": 2}, "timestamp": "2026-01-02T03:04:05+00:00", "content_type": "application/json"}',
        :'org_alice', :'hosted', :'pump_login', :'message_id'
    ),
    'one row, with all that was sent; of a key given twice the last counts'
);
DELETE FROM pgmq.q_mqtt_messages;

-- Batches.
SELECT act_as('anon', NULL, :'login');
-- The short way for batches of plain messages takes nothing that the long way would refuse or store otherwise.
SELECT act_as('none', NULL, :'login');
SELECT is_empty(
    $test$SELECT o.odd
        FROM jsonb_array_elements($$[
            {"topic": "org_alice/x"}, {"payload": 1}, {"topic": null, "payload": 1}, {"topic": 1, "payload": 1}, {"topic": "org_alice", "payload": 1},
            {"topic": "org_bob/x", "payload": 1}, {"topic": "org_alice/+", "payload": 1}, {"topic": "org_alice/x", "payload": 1, "qos": 0},
            {"topic": "org_alice/x", "payload": 1, "message_id": null}, {"topic": ["org_alice/x"], "payload": 1},
            1, null, "topic", "payload", [], ["topic", "payload"]
        ]$$) AS o (odd)
        WHERE mqtt.enqueue_plain_batch(mqtt.device_login(), '[{"topic": "org_alice/x", "payload": 1}]'::jsonb || jsonb_build_array(o.odd)) <> 0$test$,
    'one message that is not plain is enough for the long way'
);
SELECT is(mqtt.enqueue_plain_batch(mqtt.device_login(), '[{"topic": "org_alice/x", "payload": 1}, {"payload": null, "topic": "org_alice/y"}]'), 2, 'plain messages are queued');
SELECT results_eq(
    'SELECT q.message FROM pgmq.q_mqtt_messages AS q ORDER BY q.msg_id DESC LIMIT 2',
    $$VALUES ('{"topic": "org_alice/y", "payload": null}'::jsonb), ('{"topic": "org_alice/x", "payload": 1}')$$, 'in their order, as the long way would'
);
DELETE FROM pgmq.q_mqtt_messages WHERE msg_id IN (SELECT q.msg_id FROM pgmq.q_mqtt_messages AS q ORDER BY q.msg_id DESC LIMIT 2);
-- The same cases through a short way and its general one: what the one takes, the other queues the same, and what it leaves, it queues not at all.
CREATE TEMPORARY TABLE plain_case AS
SELECT c.message, row_number() OVER () AS number
FROM jsonb_array_elements($$[
    {"topic": "org_alice/x", "payload": {"a": [1, null, "ü"]}}, {"topic": "org_alice/x", "payload": null}, {"topic": "org_alice/x", "payload": ""},
    {"topic": "org_alice/a b/(c);d=e,f@g:h", "payload": 1.50}, {"topic": "org_alice/ü", "payload": 1}, {"topic": "org_alice//", "payload": []},
    {"topic": "org_alice/+", "payload": 1}, {"topic": "org_bob/x", "payload": 1}, {"topic": "org_alice", "payload": 1}, {"topic": "", "payload": 1},
    {"topic": "org_alice/\u0007", "payload": 1}, {"topic": "$SYS/x", "payload": 1}, {"topic": "org_alice/x", "payload": 1, "qos": 2},
    {"topic": "org_alice/x", "payload": 1, "qos": 1, "retain": true}, {"topic": "org_alice/x", "payload": 1, "timestamp": "2026-01-02T03:04:05Z"}
]$$) AS c (message)
UNION ALL
SELECT jsonb_build_object('topic', 'org_alice/' || repeat('x', n), 'payload', repeat('y', n)), 100 + n FROM unnest('{1200,65525,65526}'::integer []) AS n;
CREATE FUNCTION tap.queued_since(msg_id bigint) RETURNS jsonb
LANGUAGE sql AS $$
    WITH gone AS (
        DELETE FROM pgmq.q_mqtt_messages AS q WHERE q.msg_id > queued_since.msg_id
        RETURNING q.msg_id, to_jsonb(q) - '{msg_id,vt,enqueued_at}'::text [] AS row
    )
    SELECT coalesce(jsonb_agg(g.row ORDER BY g.msg_id), '[]') FROM gone AS g;
$$;
CREATE FUNCTION tap.queued_by(way text, message jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    v_session mqtt.device_session := mqtt.device_login();
    v_before bigint := (SELECT coalesce(max(q.msg_id), 0) FROM pgmq.q_mqtt_messages AS q);
    v_taken boolean;
BEGIN
    CASE way
        WHEN 'plain batch' THEN
            v_taken := mqtt.enqueue_plain_batch(v_session, jsonb_build_array(message)) = 1;
        WHEN 'batch' THEN
            v_taken := mqtt.enqueue_batch(v_session, jsonb_build_array(message), NULL, NULL) ->> 'queued' = '1';
        WHEN 'api' THEN
            v_taken := api.mqtt_ingest(
                message ->> 'topic', (message -> 'payload')::json, (message -> 'qos')::json, (message -> 'retain')::json,
                "timestamp" => (message -> 'timestamp')::json
            ) ->> 'status' = 'queued';
        WHEN 'message' THEN
            v_taken := mqtt.enqueue_message(
                v_session, message ->> 'topic', coalesce(message -> 'payload', 'null'), NULL, coalesce((message -> 'qos')::integer, 0),
                coalesce((message -> 'retain')::boolean, false), NULL, NULL, (message ->> 'timestamp')::timestamptz
            ) ->> 'status' = 'queued';
    END CASE;
    RETURN CASE WHEN v_taken THEN tap.queued_since(v_before) END;
EXCEPTION
    WHEN SQLSTATE 'PT400' OR SQLSTATE 'PT403' OR SQLSTATE 'PT413' THEN
        RETURN to_jsonb(SQLERRM);
END;
$$;
SELECT is_empty(
    $$SELECT left(c.message::text, 80), left(queued_by('plain batch', c.message)::text, 200), left(queued_by('batch', c.message)::text, 200) FROM plain_case AS c
        WHERE coalesce(queued_by('plain batch', c.message), queued_by('batch', c.message)) IS DISTINCT FROM queued_by('batch', c.message)$$,
    'a batch of plain messages is queued as by the general way'
);
SELECT cmp_ok((SELECT count(queued_by('plain batch', c.message)) FROM plain_case AS c), '>=', 8::bigint, 'and most of these are plain');
SELECT is_empty(
    $$SELECT left(c.message::text, 80), left(queued_by('api', c.message)::text, 200), left(queued_by('message', c.message)::text, 200) FROM plain_case AS c
        WHERE queued_by('api', c.message) IS DISTINCT FROM queued_by('message', c.message)$$,
    'a single message is queued, or refused, as by the general way'
);
SELECT act_as('anon', NULL, :'login');
SELECT refuses($$SELECT api.mqtt_ingest_batch('{}')$$, 'PT400', 'messages_invalid', 'no array');
SELECT refuses($$SELECT api.mqtt_ingest_batch(NULL)$$, 'PT400', 'messages_invalid', 'null');
SELECT refuses($$SELECT api.mqtt_ingest_batch('[]')$$, 'PT400', 'batch_empty', 'an empty batch');
SELECT refuses(
    $$SELECT api.mqtt_ingest_batch((SELECT json_agg('{"topic": "org_alice/x", "payload": 1}'::json) FROM generate_series(1, 10001)))$$,
    'PT413', 'batch_too_large', 'more than a call may hold'
);
SELECT is(
    (
        SELECT jsonb_agg(r - 'message')
        FROM jsonb_array_elements(api.mqtt_ingest_batch($$[
            {"topic": "org_alice/x", "payload": 0}, 1, {"topic": "org_alice/x", "payload": 1, "qoss": 1}, {"topic": 5, "payload": 1},
            {"topic": "org_alice/x"}, {"topic": "org_alice/x", "payload": 1, "qos": 3}, {"topic": "org_alice/x", "payload": 1, "qos": "one"},
            {"topic": "org_alice/x", "payload": 1, "retain": 2}, {"topic": "org_alice/x", "payload": "x", "payload_encoding": "base64"},
            {"topic": "org_alice/x", "payload": 1, "message_id": "x"}, {"topic": "org_alice/x", "payload": 1, "timestamp": "2026-13-01T00:00:00Z"},
            {"topic": "org_ali/x", "payload": 1}, {"topic": "org_alice/#", "payload": 1}, {"topic": "org_alice/x", "payload": "\u0000"},
            {"topic": "org_alice/x", "payload": 1e999}, {"topic": "org_alice/x", "payload": null}
        ]$$)::jsonb -> 'rejected') AS r
    ),
    '[{"index": 1, "code": "message_invalid"}, {"index": 2, "code": "message_invalid"}, {"index": 3, "code": "topic_invalid"},
      {"index": 4, "code": "payload_missing"}, {"index": 5, "code": "qos_invalid"}, {"index": 6, "code": "qos_invalid"},
      {"index": 7, "code": "retain_invalid"}, {"index": 8, "code": "payload_not_base64"}, {"index": 9, "code": "message_id_invalid"},
      {"index": 10, "code": "timestamp_invalid"}, {"index": 11, "code": "topic_not_allowed"}, {"index": 12, "code": "topic_invalid"},
      {"index": 13, "code": "payload_invalid"}, {"index": 14, "code": "payload_invalid"}]',
    'each bad message is named by index and code'
);
SELECT is(
    api.mqtt_ingest_batch($$[
        {"topic": "org_alice/x", "payload": 1, "message_id": "bbbbbbbb-0000-4000-8000-000000000001"},
        {"topic": "org_alice/x", "payload": 2, "message_id": "bbbbbbbb-0000-4000-8000-000000000001"},
        {"topic": "org_alice/x", "payload": 3, "message_id": "aaaaaaaa-0000-4000-8000-000000000001"}
    ]$$)::jsonb, '{"accepted": 3, "rejected": []}', 'repeats in a batch and of before count as accepted'
);
SELECT act_as('none');
SELECT results_eq($$SELECT count(*) FROM pgmq.q_mqtt_messages$$, ARRAY[3::bigint], 'what was valid is queued, repeats once');
SELECT act_as('anon', NULL, :'login');
SELECT api.mqtt_ingest_batch((SELECT json_agg(json_build_object('topic', 'org_alice/order', 'payload', n)) FROM generate_series(1, 20) AS n)) \g /dev/null
SELECT act_as('none');
SELECT is(
    (SELECT array_agg(message -> 'payload' ORDER BY vt) FROM pgmq.q_mqtt_messages WHERE message ->> 'topic' = 'org_alice/order' GROUP BY organization_id HAVING count(DISTINCT vt) = 20),
    (SELECT array_agg(to_jsonb(n) ORDER BY n) FROM generate_series(1, 20) AS n), 'the messages of a batch are due one after the other'
);
DELETE FROM pgmq.q_mqtt_messages WHERE message ->> 'topic' = 'org_alice/order';
SELECT is((SELECT sum(accepted) FROM mqtt.ledger WHERE organization_id = :'org_alice')::integer >= 3, true, 'the ledger counts them');

-- Bytes.
SELECT act_as('anon', NULL, :'login'::jsonb || '{"x-topic": "org_alice/devices/pump/raw", "x-qos": "1", "x-content-type": "application/cbor"}');
SELECT is(api.mqtt_ingest_binary('\xa16161f4') ->> 'status', 'queued', 'bytes are taken');
SELECT act_as('anon', NULL, :'login'::jsonb || '{"x-topic": "org_alice/x", "x-qos": "7"}');
SELECT refuses($$SELECT api.mqtt_ingest_binary('\x00')$$, 'PT400', 'qos_invalid', 'a header that is no QoS');
SELECT act_as('anon', NULL, :'login');
SELECT refuses($$SELECT api.mqtt_ingest_binary('\x00')$$, 'PT400', 'topic_invalid', 'no topic header');

-- Quotas.
SELECT act_as('none');
UPDATE mqtt.organizations SET max_per_second = 1, max_burst = 3 WHERE id = :'org_alice';
SELECT act_as('anon', NULL, :'login');
SELECT is(
    (
        SELECT jsonb_agg(r ->> 'code')
        FROM jsonb_array_elements(
            api.mqtt_ingest_batch((SELECT json_agg('{"topic": "org_alice/x", "payload": 1}'::json) FROM generate_series(1, 4)))::jsonb -> 'rejected'
        ) AS r
    ), '["quota_exceeded"]', 'a batch is taken as far as the quota goes'
);
SELECT throws_like($$SELECT api.mqtt_ingest('org_alice/x', '1')$$, '%"quota_exceeded"%', 'and then no more');
SELECT act_as('none');
UPDATE mqtt.quota_buckets SET filled_at = filled_at - interval '1 second';
SELECT act_as('anon', NULL, :'login');
SELECT is(api.mqtt_ingest('org_alice/x', '1') ->> 'status', 'queued', 'until the bucket has filled again');
SELECT act_as('none');
UPDATE mqtt.quota_buckets SET filled_at = filled_at + interval '1 hour';
SELECT act_as('anon', NULL, :'login');
SELECT is(api.mqtt_ingest('org_alice/x', '1') ->> 'status', 'queued', 'or the server''s clock was set back');
SELECT act_as('none');
UPDATE mqtt.organizations SET max_per_second = NULL, max_burst = NULL WHERE id = :'org_alice';
UPDATE mqtt.mqtt_credentials SET max_per_second = 1, max_burst = 2 WHERE id = :'pump_login';
SELECT act_as('anon', NULL, :'login');
SELECT is(
    (
        SELECT jsonb_agg(r ->> 'code')
        FROM jsonb_array_elements(
            api.mqtt_ingest_batch((SELECT json_agg('{"topic": "org_alice/x", "payload": 1}'::json) FROM generate_series(1, 4)))::jsonb -> 'rejected'
        ) AS r
    ), '["quota_exceeded", "quota_exceeded"]', 'a credential has a quota of its own'
);
SELECT throws_like($$SELECT api.mqtt_ingest('org_alice/x', '1')$$, '%"quota_exceeded"%', 'which single messages count against, too');
SELECT act_as('none');
UPDATE mqtt.mqtt_credentials SET max_per_second = NULL, max_burst = NULL WHERE id = :'pump_login';
UPDATE mqtt.mqtt_credentials SET max_per_second = 0.001, max_burst = 1 WHERE id = :'bob_login';
SELECT act_as('anon', NULL, :'login');
SELECT is(api.mqtt_ingest('org_alice/x', '1') ->> 'status', 'queued', 'without a quota, and beside others that have one, it may go on');
SELECT act_as('none');
UPDATE mqtt.organizations SET ingest_pause = 'too many' WHERE id = :'org_alice';
SELECT act_as('anon', NULL, :'login');
SELECT throws_like($$SELECT api.mqtt_ingest('org_alice/x', '1')$$, '%"queue_paused"%', 'a full queue refuses its organization');
SELECT act_as('none');
UPDATE mqtt.organizations SET ingest_pause = NULL WHERE id = :'org_alice';
UPDATE mqtt.configuration SET ingest_pause = 'disk';
SELECT act_as('anon', NULL, :'login');
SELECT throws_like($$SELECT api.mqtt_ingest('org_alice/x', '1')$$, '%"queue_paused"%', 'a full disk refuses everyone');
SELECT act_as('none');
UPDATE mqtt.configuration SET ingest_pause = NULL;
DELETE FROM pgmq.q_mqtt_messages;
UPDATE mqtt.organizations SET max_queued = 3 WHERE id = :'org_alice';
SELECT act_as('anon', NULL, :'login');
SELECT is(api.mqtt_ingest('org_alice/x', '1') ->> 'status', 'queued', 'max_queued leaves room for a message') FROM generate_series(1, 4);
SELECT throws_like($$SELECT api.mqtt_ingest('org_alice/x', '1')$$, '%"queue_paused"%', 'and none for one more, with nobody processing any');
SELECT throws_like($$SELECT api.mqtt_ingest_batch('[{"topic": "org_alice/x", "payload": 1}]')$$, '%"queue_paused"%', 'nor for a batch');
SELECT throws_like($$SELECT mqtt.device_login()$$, 'permission denied%', 'the inner functions are closed to devices');
SELECT act_as('none');
SELECT is_empty(
    $$SELECT left(d.document, 80) FROM (
        SELECT replace(p.place, '#', n.number) AS document
        FROM unnest(ARRAY[
            '1e400', '-1e400', '1E+0400', '0.1e999', '1e-400', '1.5e-324', '123e308', '1e308', '0e999', '1e99', repeat('9', 309), repeat('9', 308),
            '0.' || repeat('0', 330) || '1', repeat('9', 211) || 'e99', '0.' || repeat('0', 225) || '1e-99', repeat('9', 200) || '.' || repeat('9', 150)
        ]) AS n (number)
        CROSS JOIN unnest(ARRAY[
            '#', ' #', '[#]', '[1,#]', '{"a":#}', '{"a": #}', E'{"a":\n\t#\r\n}', '[[#]]', '{"a":{"b":[0,#,1]}}', '["4e123",#]', '["#"]', '{"#":1}'
        ]) AS p (place)
    ) AS d
    WHERE mqtt.has_extreme_number(d.document::jsonb) IS DISTINCT FROM (mqtt.json_reason(d.document::json) IS NOT NULL)$$,
    'the look at the text misses no number that is out of range, wherever it stands'
);
SELECT is_empty(
    $$SELECT left(d.document, 80), d.are_many FROM (
        SELECT replace(p.place, '#', n.numbers) AS document, n.are_many
        FROM (VALUES
            (repeat('5e-324,', 200) || '1', false), (repeat('5e-324,', 201) || '1', true), (repeat('-1E+0030, ', 201) || '1', true),
            (repeat('1e29,', 400) || '1', false), (repeat(E'1.25e-99\n,"a\\"b",', 201) || '1', true), (repeat('"1e-99, 1e-99",', 400) || '1', false),
            (repeat('"\\\\", 1e-99,', 201) || '1', true)
        ) AS n (numbers, are_many)
        CROSS JOIN unnest(ARRAY['[#]', '{"a":[#]}', '[[#], true, "e"]', '["", {"1e99": [#]}]']) AS p (place)
    ) AS d
    WHERE (mqtt.json_reason(d.document::json) IS NOT NULL) <> d.are_many OR mqtt.has_far_numbers(d.document::jsonb) <> d.are_many$$,
    'the look at the text counts far exponents, and no more than these'
);
SELECT is(
    mqtt.json_reason(format('[%s]', left(repeat(format('{"topic": "a", "payload": [%s1]},', repeat('5e-324,', 150)), 3), -1))::json, 2), NULL, 'of a batch each message for itself'
);
SELECT * FROM finish();
ROLLBACK;
