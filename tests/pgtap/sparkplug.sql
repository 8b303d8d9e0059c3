-- Sparkplug B: names and order are kept per edge node, and a rebirth is asked for where one is missing.
\ir setup.psql
SELECT to_regprocedure('mqtt.py_seal(bytea, text)') IS NULL AS lacks_plpython \gset
\if :lacks_plpython
SELECT plan(1);
SELECT skip('not run: it needs PL/Python', 1);
\else
SELECT plan(26);
SELECT api.apply_device_preset(:'external', 'sparkplug-b') \g /dev/null
CREATE FUNCTION tap.take(topic text, payload text) RETURNS integer LANGUAGE sql AS $$
    SELECT mqtt.count_accepted('11111111-0000-4000-8000-000000000001', 1);
    INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id, body)
    VALUES (clock_timestamp(), jsonb_build_object('topic', topic), '11111111-0000-4000-8000-000000000001', '11111111-0000-4000-8000-000000000020', decode(payload, 'hex'));
    SELECT (mqtt.store_messages(ARRAY(SELECT q.ctid FROM pgmq.q_mqtt_messages AS q)))[1];
$$;
\set nbirth '0880dba1af993412120a0562645365711880dba1af99342004580012210a144e6f646520436f6e74726f6c2f526562697274681880dba1af9934200b70001800'
\set dbirth '0880dba1af993412210a0b74656d706572617475726510011880dba1af9934200a6900000000008035401801'
\set ddata '0890a9a2af9934121410011890a9a2af9934200a6900000000008036401802'
CREATE FUNCTION tap.rebirths() RETURNS integer LANGUAGE sql AS $$SELECT count(*)::integer FROM pgmq.q_mqtt_outbound$$;
SELECT take('spBv1.0/P/NBIRTH/e', :'nbirth') \g /dev/null
SELECT take('spBv1.0/P/DBIRTH/e/d', :'dbirth') \g /dev/null
SELECT take('spBv1.0/P/DDATA/e/d', :'ddata') \g /dev/null
SELECT is(mqtt.latest_of(d) #> '{temperature,value}', '22.5', 'an alias has the name that the birth gave, in a batch of its own') FROM mqtt.devices AS d WHERE d.external_id = 'P/e/d';
SELECT is(rebirths(), 0, 'all is in sequence');
SELECT take('spBv1.0/P/DDATA/e/d', '1204100170011803') \g /dev/null
SELECT is(mqtt.latest_of(d) #> '{temperature,value}', 'true', 'bytes that could be text are read as well') FROM mqtt.devices AS d WHERE d.external_id = 'P/e/d';
SELECT is(rebirths(), 0, 'and are in sequence');
SELECT take('spBv1.0/P/DDATA/e/d', :'ddata') \g /dev/null
SELECT is(
    (SELECT q.message ->> 'topic' FROM pgmq.q_mqtt_outbound AS q), 'spBv1.0/P/NCMD/e', 'a gap in the sequence: the node is asked for a rebirth'
);
SELECT is(q.body, '\x121a0a144e6f646520436f6e74726f6c2f52656269727468200b7001', 'by the metric that the specification names') FROM pgmq.q_mqtt_outbound AS q;
SELECT take('spBv1.0/P/DDATA/e/d', :'ddata') \g /dev/null
SELECT is(rebirths(), 1, 'though not for each message');
SELECT take('spBv1.0/P/DDATA/other/d', :'ddata') \g /dev/null
SELECT is((SELECT m.decode_error FROM mqtt.mqtt_messages AS m WHERE m.topic LIKE '%other%'), 'rule 10: samples leads to nothing', 'an alias without a birth is no reading');
SELECT take('spBv1.0/P/DDATA/e/d', 'ff') \g /dev/null
SELECT is(
    (SELECT m.decode_error FROM mqtt.mqtt_messages AS m WHERE m.body = '\xff'), 'rule 10: it is no Sparkplug B payload, or too large with its names, or the server has no PL/Python',
    'what is none is kept, and flagged'
);
SELECT take('spBv1.0/P/NDEATH/e', '0880dba1af9934') \g /dev/null
SELECT results_eq(
    $$SELECT d.external_id, d.presence ->> 'state' FROM mqtt.devices AS d WHERE d.external_id LIKE 'P/e%' ORDER BY 1$$, $$VALUES ('P/e', 'offline'), ('P/e/d', 'offline')$$,
    'with a node its devices die'
);
SELECT is(
    api.try_payload_rules(:'external', 'spBv1.0/P/DDATA/e/d', payload_base64 => encode(decode(:'ddata', 'hex'), 'base64')) #> '{samples,0,metrics}', '{"temperature": 22.5}',
    'trying knows the names, too'
);
-- Born again: a temperature of 20.5 with engUnit and displayName; then a metric with engUnits that has no value yet.
\set described '0880d4d0ebdb3312480a0b74656d70657261747572651001200a4a2c0a07656e67556e69740a0b646973706c61794e616d651207080c4203c2b043120b080c42074f7574736964656900000000008034401804'
\set empty '08e8dbd0ebdb3312200a0372706d200338014a150a08656e67556e6974731209080c4205312f6d696e1805'
SELECT is(
    (api.try_payload_rules(
        :'external', 'spBv1.0/P/DBIRTH/e/d', payload_base64 => translate(encode(decode(:'described', 'hex'), 'base64'), E'\n', '')
    ) #> '{samples,0}') - '{time,reason,role}'::text [],
    '{"device": "P/e/d", "metrics": {"temperature": 20.5}, "presence": "online", "metadata": {"metrics": {"temperature": {"unit": "°C", "name": "Outside"}}}}',
    'a birth tells units and labels besides'
);
SELECT take('spBv1.0/P/DBIRTH/e/d', :'described') \g /dev/null
SELECT take('spBv1.0/P/DBIRTH/e/d', :'empty') \g /dev/null
SELECT is(
    d.metadata, '{"metrics": {"rpm": {"unit": "1/min"}, "temperature": {"unit": "°C", "name": "Outside"}}}', 'which become metadata, also those of what has no value yet'
)
FROM mqtt.devices AS d
WHERE d.external_id = 'P/e/d';
SELECT is((SELECT count(*) FROM mqtt.readings AS r WHERE r.payload = '{"temperature": 20.5}'), 1::bigint, 'beside the reading');
-- Below other topics, where other logins may write, are other nodes, whatever they are called.
SELECT take('spBv1.0/P/DBIRTH/e/d', :'dbirth') \g /dev/null
SELECT take('elsewhere/a/spBv1.0/P/NBIRTH/e', :'nbirth') \g /dev/null
SELECT take('elsewhere/a/spBv1.0/P/DBIRTH/e/d', '12070a03666f7810011801') \g /dev/null
SELECT take('spBv1.0/P/DDATA/e/d', :'ddata') \g /dev/null
SELECT is((SELECT count(*) FROM mqtt.readings AS r WHERE r.payload ? 'fox'), 0::bigint, 'a birth below other topics renames no alias');
SELECT results_eq(
    $$SELECT n.node FROM mqtt.sparkplug_nodes AS n WHERE n.node LIKE '%P/e' ORDER BY length(n.node)$$, $$VALUES ('P/e'), ('elsewhere/a/P/e')$$, 'each is kept by itself'
);
SELECT take('elsewhere/a/spBv1.0/P/NDATA/f', '1801') \g /dev/null
SELECT is(
    (SELECT count(*) FROM pgmq.q_mqtt_outbound AS q WHERE q.message ->> 'topic' = 'elsewhere/a/spBv1.0/P/NCMD/f'), 1::bigint, 'and is asked for a rebirth where it is'
);
-- At the hosted broker the bridge may publish anywhere. A dead letter may be replayed with any topic.
SELECT api.apply_device_preset(:'hosted', 'sparkplug-b');
INSERT INTO mqtt.mqtt_dead_letters (received_at, organization_id, id, integration_id, direction, attempts, topic, message, body, error_message)
SELECT now(), :'org_alice', gen_random_uuid(), :'hosted', 'incoming', 3, t.topic, jsonb_build_object('topic', t.topic), decode(:'ddata', 'hex'), 'x'
FROM (VALUES ('org_alice/spBv1.0/P/DDATA/g/d')) AS t (topic);
SELECT act_as('authenticated', :'alice') \g /dev/null
SELECT is(
    api.replay_mqtt_dead_letters(:'org_alice', patch => jsonb_build_object('topic', p.prefix || '/spBv1.0/P/DDATA/g/d'), ids => ARRAY(SELECT d.id FROM api.mqtt_dead_letters AS d)) -> 'replayed',
    '1', 'replayed below ' || p.prefix
)
FROM (VALUES ('org_bob'), ('org_alice')) AS p (prefix);
SELECT act_as('none') \g /dev/null
SELECT mqtt.store_messages(ARRAY(SELECT q.ctid FROM pgmq.q_mqtt_messages AS q)) \g /dev/null
SELECT results_eq(
    $$SELECT q.message ->> 'topic' FROM pgmq.q_mqtt_outbound AS q WHERE q.integration_id = '11111111-0000-4000-8000-000000000010'$$,
    $$VALUES ('org_alice/spBv1.0/P/NCMD/g')$$, 'no node of another organization is asked for a rebirth'
);
-- A sender's own form of what is decoded would name any device.
SELECT take('spBv1.0/P/DDATA/e/x', encode(convert_to('{"sparkplug": "DDATA", "device": "P/e/d", "samples": [{"ts": null, "values": {"temperature": 99}}]}', 'UTF8'), 'hex')) \g /dev/null
SELECT is((SELECT count(*) FROM mqtt.readings AS r WHERE r.payload = '{"temperature": 99}'), 0::bigint, 'JSON in the form of what is decoded is no reading');
SELECT is(
    api.try_payload_rules(:'external', 'spBv1.0/P/NDEATH/e', '{"sparkplug": "NDEATH", "devices": ["P/e/d"]}') #>> '{samples,0,reason}',
    'rule 80: it is no Sparkplug B payload, or too large with its names, or the server has no PL/Python', 'nor a death'
);
-- Doubles 5e-324, in samples of two times.
SELECT take('spBv1.0/P/DBIRTH/e/d', string_agg(
    '12130a04' || encode(convert_to('f' || to_char(n, 'FM000'), 'UTF8'), 'hex') || '180' || n % 2 + 1 || '200a690100000000000000', '' ORDER BY n
)) FROM generate_series(1, 201) AS n \g /dev/null
SELECT is((SELECT count(*) FROM mqtt.readings AS r WHERE r.payload ?| '{f001,f002}'), 0::bigint, 'numbers that are short and returned as long text are bounded here, too');
-- Bytes that are text are stored as text.
SELECT take('spBv1.0/P/DDATA/e/d', '1204100170011803') \g /dev/null
CREATE TEMPORARY TABLE before AS SELECT count(*) AS n FROM mqtt.readings;
SELECT api.reapply_payload_rules(:'external', now() - interval '1 day') \g /dev/null
SELECT is((SELECT count(*) FROM mqtt.readings), (SELECT b.n FROM before AS b), 'rules that are applied again leave them as they are');
-- A node in each birth's topic would be a row that stays.
INSERT INTO mqtt.sparkplug_nodes (organization_id, integration_id, node)
SELECT '11111111-0000-4000-8000-000000000001', :'external', 'many/' || n FROM generate_series(1, 10000) AS n;
SELECT take('spBv1.0/P/NBIRTH/late', :'nbirth') \g /dev/null
SELECT is((SELECT count(*) FROM mqtt.sparkplug_nodes AS n WHERE n.node = 'P/late'), 0::bigint, 'an organization has no more than 10,000 nodes');
SELECT take('spBv1.0/P/NDEATH/e', '0880dba1af9934') \g /dev/null
SELECT is(n.is_born, false, 'and those go on') FROM mqtt.sparkplug_nodes AS n WHERE n.node = 'P/e';
\endif
SELECT * FROM finish();
ROLLBACK;
