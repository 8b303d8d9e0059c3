-- What payload rules decode beside JSON: one rule each through try_payload_rules, one through the worker; what cannot be decoded says why.
\ir setup.psql
SELECT to_regprocedure('mqtt.py_seal(bytea, text)') IS NULL AS lacks_plpython \gset
\if :lacks_plpython
SELECT plan(1);
SELECT skip('not run: it needs PL/Python', 1);
\else
SELECT plan(75);

-- What may be written.
SELECT is(mqtt.decode_reason(d), NULL, d || ' is a way to decode')
FROM unnest(ARRAY['gzip json', 'base64 zlib senml-cbor', 'influx', 'hex cayenne', 'csv', 'base64 binary of $.a."b c"']) AS d;
SELECT isnt(mqtt.decode_reason(d), NULL, d || ' is none') FROM unnest(ARRAY['gzip', 'json gzip', 'gzip sparkplug', 'gzip gzip gzip gzip gzip json', 'json of', 'json of $', 'json of $.a[0]', 'sparkplug of $.a']) AS d;
SELECT is(mqtt.layout_reason(l.decode, l.layout), l.reason, format('%s with the layout %s', l.decode, left(l.layout::text, 50)))
FROM (VALUES
    ('json', NULL::jsonb, NULL),
    ('binary', '[{"format": ">I", "name": "t", "scale": "/100"}, {"format": "3x"}, {"format": "12s", "name": "id"}]', NULL),
    ('gzip csv', '["ts", null]', NULL),
    ('binary', NULL, 'is missing: binary needs [{"format", "name", "scale"}]'),
    (NULL, '[]', 'is for binary, csv and protobuf only'),
    ('json', '["t"]', 'is for binary, csv and protobuf only'),
    ('csv', '{}', 'must be an array of 1 to 100 members'),
    ('csv', '[1]', 'member 1 must be the name of a column, of at most 200 characters, or null'),
    ('binary', '[{"format": "I", "nom": "t"}]', 'member 1: must be {"format", "name"}, with "scale", "labels" and "optional" if needed, or {"format", "parts"}'),
    ('binary', '["I"]', 'member 1: must be {"format", "name"}, with "scale", "labels" and "optional" if needed, or {"format", "parts"}'),
    (
        'binary', '[{"format": "x"}, {"format": "99999s", "name": "t"}]',
        'member 1: format must be one of b B h H i I q Q e f d ? after < or >, or such as u24, i24, 12s (text) or 3x (skipped)'
    ),
    ('binary', '[{"format": "I"}]', 'member 1: name must have 1 to 200 characters'),
    ('binary', '[{"format": "I", "name": "t", "scale": "/0"}]', 'member 1: scale must be a number, or one after / to divide by: "/100"'),
    ('binary', '[{"format": "<u24", "parts": [{"name": "a", "bits": [0, 14]}, {"name": "b", "bits": [14, 2], "labels": {"0": "ok", "3": null}}]}, {"format": "i24", "name": "c", "optional": true}]', NULL),
    ('base64 binary of $.data', '[{"tag": 2, "fields": {"0175": [{"format": "B", "name": "t"}], "ffff": []}}]', NULL),
    ('binary', '[{"format": "u12", "name": "t"}]', 'member 1: format must be one of b B h H i I q Q e f d ? after < or >, or such as u24, i24, 12s (text) or 3x (skipped)'),
    ('binary', '[{"format": "H", "name": "t", "labels": []}]', 'member 1: labels must be an object such as {"0": "closed", "255": null}'),
    ('binary', '[{"format": "h", "parts": [{"name": "t", "bits": [0, 1]}]}]', 'member 1: parts are of one of B H I Q and such as u24'),
    ('binary', '[{"format": "H", "parts": [{"name": "t", "bits": [0]}]}]', 'member 1: parts: bits must be [from, count]'),
    ('binary', '[{"format": "H", "parts": [{"name": "t", "bits": [0, 1.5]}]}]', 'member 1: parts: bits must be [from, count]'),
    ('binary', '[{"format": "H", "parts": [{"bits": [0, 1]}]}]', 'member 1: parts: name must have 1 to 200 characters'),
    ('binary', '[{"tag": 5, "fields": {}}]', 'member 1: must be {"tag": 1 to 4, "length": 0 to 2, "fields": {"0167": [fields]}}, of at most 64 KiB'),
    ('binary', '[{"tag": 1, "fields": {"1": []}}]', 'member 1: tag 1: must be as many bytes in lower-case hexadecimal as tag says'),
    ('binary', '[{"tag": 1, "fields": {"01": [{"format": "B"}]}}]', 'member 1: tag 01: name must have 1 to 200 characters'),
    ('binary', '[{"format": "I", "name": "t", "scale": "5"}]', 'member 1: scale must be a number, or one after / to divide by: "/100"')
) AS l (decode, layout, reason);

-- What they make of payloads.
SELECT api.upsert_payload_rule(:'external', 'gzip', 'd', decode => 'gzip json') \g /dev/null
SELECT api.upsert_payload_rule(:'external', 'influx', '{$.tags.host}', decode => 'influx', samples => '{$[*]}', "time" => '{"path": "$.timestamp", "unit": "ns"}', metrics => '{"*": "$.fields"}') \g /dev/null
SELECT api.upsert_payload_rule(:'external', 'csv', 'd', decode => 'base64 csv', samples => '{$[*]}', "time" => '{"path": "$.ts", "unit": "s"}', metrics => '{"*": "$", "ts": null}') \g /dev/null
SELECT api.upsert_payload_rule(:'external', 'named', 'd', decode => 'csv', layout => '["t", null, "h"]', samples => '{$[*]}') \g /dev/null
SELECT api.upsert_payload_rule(:'external', 'cayenne', 'd', decode => 'hex cayenne') \g /dev/null
SELECT api.upsert_payload_rule(:'external', 'senml', '{$.device}', decode => 'senml', samples => '{$[*]}', "time" => '{"path": "$.time", "unit": "s"}', metrics => '{"*": "$.values"}') \g /dev/null
SELECT api.upsert_payload_rule(:'external', 'senml-cbor', '{$.device}', decode => 'senml-cbor', samples => '{$[*]}', metrics => '{"*": "$.values"}') \g /dev/null
SELECT api.upsert_payload_rule(:'external', 'binary', 'd', decode => 'binary', layout => '[{"format": ">i", "name": "temperature", "scale": "/100"}, {"format": "B", "name": "battery"}]') \g /dev/null
SELECT api.upsert_payload_rule(
    :'external', 'lht65', '{$.end_device_ids.device_id}', condition => '$.uplink_message.f_port == 2', decode => 'base64 binary of $.uplink_message.frm_payload', metrics => '{"*": "$.uplink_message.frm_payload"}',
    layout => '[{"format": "H", "parts": [{"name": "BatV", "bits": [0, 14], "scale": "/1000"}, {"name": "Bat_status", "bits": [14, 2], "labels": {"0": "ultra low", "1": "low", "2": "ok", "3": "good"}}]},
        {"format": "h", "name": "TempC_SHT", "scale": "/100"}, {"format": "H", "name": "Hum_SHT", "scale": "/10"}, {"format": "B", "name": "Ext"}, {"format": "h", "name": "TempC_DS", "scale": "/100", "labels": {"32767": null}}, {"format": "2x"}]',
    "position" => 81
) \g /dev/null
SELECT api.upsert_payload_rule(
    :'external', 'milesight', '{$.deviceInfo.devEui}', decode => 'base64 binary of $.data', metrics => '{"*": "$.data"}',
    layout => '[{"tag": 2, "fields": {"0175": [{"format": "B", "name": "battery"}], "0367": [{"format": "<h", "name": "temperature", "scale": "/10"}], "0468": [{"format": "B", "name": "humidity", "scale": "/2"}]}}]', "position" => 82
) \g /dev/null
SELECT api.upsert_payload_rule(:'external', 'shadow', 'd', decode => 'json of $.body', metrics => '{"*": "$.body", "at": "$.n"}', "position" => 83) \g /dev/null
CREATE FUNCTION tap.tried(topic text, payload bytea) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_agg(coalesce(s.value -> 'reason', 'null') || jsonb_build_array(s.value -> 'device', s.value -> 'metrics', (s.value ->> 'time')::timestamptz AT TIME ZONE 'UTC'))
    FROM jsonb_array_elements(
        api.try_payload_rules('11111111-0000-4000-8000-000000000020', tried.topic, payload_base64 => translate(encode(tried.payload, 'base64'), E'\n', '')) -> 'samples'
    ) AS s;
$$;
SELECT is(tap.tried(t.topic, t.payload), t.made, t.name)
FROM (VALUES
    ('gzip', '\x1f8b0800000000000203ab562a51b23232d433ad0500d7ffddb90a000000'::bytea, '[[null, "d", {"t": 21.5}, null]]'::jsonb, 'gzip'),
    (
        'influx', convert_to(E'w,host=a t=21.5,ok=t 1700000000000000000\nw,host=b t=2i 1700000001000000000\n', 'UTF8'),
        '[[null, "a", {"t": 21.5, "ok": true}, "2023-11-14T22:13:20"], [null, "b", {"t": 2}, "2023-11-14T22:13:21"]]', 'InfluxDB line protocol, to the nanosecond'
    ),
    (
        'csv', convert_to(encode(E'ts,t,h\r\n1700000000,21.5,\r\n1700000001,22,40\r\n', 'base64'), 'UTF8'),
        '[[null, "d", {"t": 21.5}, "2023-11-14T22:13:20"], [null, "d", {"h": 40, "t": 22}, "2023-11-14T22:13:21"]]', 'CSV with a header, in base64'
    ),
    ('named', E'21.5;x;40', '[[null, "d", {"h": 40, "t": 21.5}, null]]', 'CSV with named columns'),
    ('cayenne', '03670110056700FF', '[[null, "d", {"temperature_3": 27.2, "temperature_5": 25.5}, null]]', 'Cayenne LPP'),
    (
        'senml', '[{"bn": "urn:dev:a:", "bt": 1700000000, "n": "t", "v": 21.5}, {"n": "t", "t": 1, "v": 22}]',
        '[[null, "urn:dev:a", {"t": 21.5}, "2023-11-14T22:13:20"], [null, "urn:dev:a", {"t": 22}, "2023-11-14T22:13:21"]]', 'SenML'
    ),
    ('senml-cbor', '\x81a32162613a00617402fb4035800000000000', '[[null, "a", {"t": 21.5}, null]]', 'SenML in CBOR'),
    ('binary', '\xfffff79a64', '[[null, "d", {"battery": 100, "temperature": -21.5}, null]]', 'a fixed layout'),
    (
        'lht65', convert_to('{"end_device_ids": {"device_id": "cellar"}, "uplink_message": {"f_port": 2, "frm_payload": "' || encode(decode('cbf60b0d0376010add7fff', 'hex'), 'base64') || '"}}', 'UTF8'),
        '[[null, "cellar", {"BatV": 3.062, "Bat_status": "good", "TempC_SHT": 28.29, "Hum_SHT": 88.6, "Ext": 1, "TempC_DS": 27.81}, null]]', 'a member of JSON, with parts of an integer'
    ),
    (
        'milesight', convert_to('{"deviceInfo": {"devEui": "24e1"}, "data": "' || encode(decode('01755c03673401046865', 'hex'), 'base64') || '"}', 'UTF8'),
        '[[null, "24e1", {"battery": 92, "temperature": 30.8, "humidity": 50.5}, null]]', 'records with tags'
    ),
    ('shadow', '{"n": 1, "body": "{\\"t\\": 21.5}"}', '[[null, "d", {"t": 21.5, "at": 1}, null]]', 'JSON as a text in JSON')
) AS t (topic, payload, made, name);
SELECT is(tap.tried(t.topic, t.payload) #>> '{0,0}', t.reason, t.topic || ': ' || t.reason)
FROM (VALUES
    ('gzip', '\x1f8b08'::bytea, 'rule 10: it is not gzip: the bytes end early'),
    ('influx', 'w t=x', 'rule 20: it is not influx: a field is neither a number, nor a boolean, nor a string in quotes'),
    ('csv', 'YSxiCjE=', 'rule 30: it is not csv: a row has more or fewer fields than there are names'),
    ('cayenne', '01c8', 'rule 50: it is not cayenne: byte 1 is no type of value: 200'),
    ('milesight', '{"data": "/wsA"}', 'rule 82: it is not binary: the layout has no tag ff0b, which is at byte 0'),
    ('milesight', '{"data": 1}', 'rule 82: there is no text at $.data'),
    ('milesight', '{"data": "AXU"}', 'rule 82: it is not binary: there are fewer bytes than in the layout'),
    ('senml', '{}', 'rule 60: it is not senml: it is no array of at most 5000 records'),
    ('binary', '1234', 'rule 80: it is not binary: there are fewer bytes than in the layout')
) AS t (topic, payload, reason);

-- What is small and comes out large would take its decoder seconds: 262,145 bytes.
\set filler '1f8b0800000000000203edc13101000000c2a0ea8bee6f06a00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000ce004d7f488e01000400'
SELECT is(
    (mqtt.rule_document('gzip ' || f.format, NULL, decode(:'filler', 'hex'))).decode_error, 'it is not gzip: more than 262144 bytes come out', 'compressed ' || f.format || ' is bounded'
)
FROM unnest('{cbor,text,json}'::text []) AS f (format);

-- Protocol Buffers: a descriptor set becomes the layout, which one can read and write.
\set descriptors 'CkYKB3IucHJvdG8SBGFjbWUiLQoHUmVhZGluZxITCgt0ZW1wZXJhdHVyZRgBIAEoAhINCgVjb3VudBgCIAEoEWIGcHJvdG8z'
SELECT act_as('authenticated', :'alice');
SELECT api.upsert_payload_rule(
    :'external', 'protobuf', 'd', decode => 'protobuf', layout => jsonb_build_object('descriptor_set', :'descriptors', 'message', 'acme.Reading'), "position" => 85
) AS protobuf \gset
SELECT act_as('none');
SELECT is(
    :'protobuf'::jsonb -> 'layout',
    '{"message": "acme.Reading", "types": {"acme.Reading": [{"number": 1, "name": "temperature", "type": "float", "default": true}, {"number": 2, "name": "count", "type": "sint32", "default": true}]}, "enums": {}}',
    'a descriptor set is read into a layout'
);
SELECT is(tap.tried('protobuf', '\x0d0000ac41'), '[[null, "d", {"count": 0, "temperature": 21.5}, null]]', 'which decodes, with what is not sent because it is 0');
SELECT is(tap.tried('protobuf', '\x0a00') #>> '{0,0}', 'rule 85: it is not protobuf: a field has another wire type than the layout says', 'or says why not');
SELECT refuses(
    format('SELECT api.upsert_payload_rule(%L, ''p'', ''d'', decode => ''protobuf'', layout => %L)', :'external', l.layout), 'PT400', 'payload_rule_invalid', l.layout, l.reason
)
FROM (VALUES
    ('{"descriptor_set": "AA", "message": "x"}', 'layout must be {"descriptor_set"%'), ('{"descriptor_set": "/w==", "message": "x"}', 'layout is not read: the bytes end early.'),
    ('{"descriptor_set": "", "message": "x"}', 'layout is not read: the descriptor set has no such message.'),
    ('{"message": "x", "types": {}}', 'layout must be {"descriptor_set"%'), ('{"message": "x", "types": {"x": {}}}', 'layout must have types of %'),
    ('{"message": "x", "types": {"x": [1]}}', 'layout must have types of %'), ('{"message": "x", "types": {"x": []}, "enums": []}', 'layout must have types of %'),
    ('[]', 'layout must be {"descriptor_set"%')
) AS l (layout, reason);

-- 4 MiB of zeros, compressed twice.
\set bomb '1f8b080000000000020393efe660000126e6b7071919818c2685ffebf33c1c181946c1281805a360148c8251300a46c1281805a360148c825130d4418d749683bb2003830303005964145b02100000'
-- In the worker: a bomb and what is damaged are kept and flagged, and their neighbours are read; relative times refer to when it was received.
SELECT api.upsert_payload_rule(:'external', 'bomb', 'd', decode => 'gzip gzip json') \g /dev/null
SELECT mqtt.count_accepted(:'org_alice', 5) \g /dev/null
INSERT INTO pgmq.q_mqtt_messages (vt, enqueued_at, message, organization_id, integration_id, body)
SELECT clock_timestamp(), now() - interval '1 hour', jsonb_build_object('topic', m.topic), :'org_alice', :'external', m.body
FROM (VALUES
    ('bomb', decode(:'bomb', 'hex')), ('binary', 'x'), ('influx', 'w,host=worker t=21.5'),
    ('senml', '[{"bn": "relative", "bt": -60, "v": 1}]'), ('binary', '1e300')
) AS m (topic, body);
SELECT mqtt.store_messages(ARRAY(SELECT q.ctid FROM pgmq.q_mqtt_messages AS q)) \g /dev/null
SELECT results_eq(
    $$SELECT m.topic, m.decode_error FROM mqtt.mqtt_messages AS m ORDER BY 1, 2$$,
    $$VALUES
        ('binary', 'rule 80: it is not binary: there are fewer bytes than in the layout'), ('binary', NULL), ('bomb', 'rule 90: it is not gzip: more than 1048576 bytes come out'),
        ('influx', NULL), ('senml', NULL)$$,
    'what cannot be decoded says why'
);
SELECT results_eq(
    $$SELECT d.external_id, r.payload, r.received_at - r.measured_at
    FROM mqtt.readings AS r JOIN mqtt.devices AS d ON d.id = r.device_id ORDER BY 1$$,
    $$VALUES ('d', '{"battery": 48, "temperature": 8287158.24}'::jsonb, interval '0'), ('relative', '{"value": 1}', interval '1 minute'), ('worker', '{"t": 21.5}', interval '0')$$,
    'and its neighbours are read'
);
\endif
SELECT * FROM finish();
ROLLBACK;
