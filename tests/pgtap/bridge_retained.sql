-- What a broker has retained comes again at each new session: it is stored once, and again when it has changed.
\ir setup.psql
SELECT plan(37);
\set bridge 'aaaaaaaa-0000-4000-8000-000000000002'
DELETE FROM mqtt.bridges;
INSERT INTO mqtt.bridges (id, name, version, main_pid) VALUES (:'bridge', 'host:2', '1', 1);
INSERT INTO mqtt.bridge_leases (organization_id, integration_id, bridge_id)
VALUES (:'org_alice', :'hosted', :'bridge'), (:'org_alice', :'external', :'bridge');
CREATE FUNCTION tap.deliver(topics text [], payloads text [], retains boolean [] DEFAULT NULL, properties jsonb [] DEFAULT NULL, integration text DEFAULT '11111111-0000-4000-8000-000000000010')
RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_strip_nulls(bridge.ingest(
        'aaaaaaaa-0000-4000-8000-000000000002', ARRAY[integration::uuid], array_fill(1, ARRAY[cardinality(topics)]), topics,
        ARRAY(SELECT convert_to(p, 'UTF8') FROM unnest(payloads) WITH ORDINALITY AS u (p, n) ORDER BY n),
        array_fill(1::smallint, ARRAY[cardinality(topics)]), coalesce(retains, array_fill(true, ARRAY[cardinality(topics)])), properties => properties
    ));
$$;
CREATE VIEW tap.queue AS SELECT q.message ->> 'topic' AS topic, convert_from(q.body, 'UTF8') AS payload FROM pgmq.q_mqtt_messages AS q ORDER BY q.msg_id;

SELECT is(tap.deliver('{org_alice/devices/a/t,org_alice/devices/b/t,org_alice/devices/c/t}', '{1,2,3}'), '{"dead": 0, "queued": 3, "passed_over": 0}', 'at first it is accepted');
SELECT is(
    tap.deliver('{org_alice/devices/a/t,org_alice/devices/b/t,org_alice/devices/c/t}', '{1,2,3}'), '{"dead": 0, "queued": 0, "repeated": 3, "passed_over": 0}',
    'when it comes again, it is a repeat'
);
SELECT is((SELECT count(*) FROM tap.queue), 3::bigint, 'and not stored');
SELECT is_empty('SELECT * FROM mqtt.check_ledger()', 'nor counted as accepted');
SELECT is(
    tap.deliver('{org_alice/devices/a/t,org_alice/devices/b/t,org_alice/devices/c/t}', '{1,22,3}'), '{"dead": 0, "queued": 1, "repeated": 2, "passed_over": 0}',
    'one that has changed is new'
);
SELECT is((SELECT array_agg(payload) FROM tap.queue), '{1,2,3,22}', 'and that one alone is stored');
SELECT is(tap.deliver('{org_alice/devices/b/t}', '{2}') ->> 'queued', '1', 'so is one that has changed back');
SELECT is(tap.deliver('{org_alice/devices/b/t,org_alice/devices/b/t}', '{2,2}', '{f,f}') ->> 'queued', '2', 'what is not retained is never a repeat');
SELECT is(
    tap.deliver('{org_alice/devices/b/t,org_alice/devices/b/t,org_alice/devices/b/t}', '{5,5,6}') - 'dead' - 'passed_over', '{"queued": 2, "repeated": 1}',
    'within a call, too, where a filter that overlaps brings it twice'
);
SELECT is(tap.deliver('{org_alice/devices/b/t}', '{6}') ->> 'repeated', '1', 'the last counts');
SELECT is(tap.deliver('{org_alice/devices/q/t,org_alice/devices/q/t}', '{1,1}', '{f,t}') - 'dead' - 'passed_over', '{"queued": 1, "repeated": 1}', 'and what a session had queued');
SELECT is(tap.deliver('{org_alice/devices/b/t}', '{6}', integration => :'external') ->> 'queued', '1', 'another integration has its own');
SELECT is(tap.deliver('{org_alice/devices/b/t}', '{6}', integration => :'bob_hosted') ->> 'passed_over', '1', 'one that is not held is left to its bridge');
SELECT is(tap.deliver('{org_alice/devices/b/t,org_alice/devices/a/t}', '{6,1}', '{t,f}'), '{"dead": 0, "queued": 1, "repeated": 1, "passed_over": 0}', 'its neighbours go on');

-- Properties.
SELECT is(tap.deliver('{org_alice/devices/p/t}', '{1}', properties => ARRAY['{"user_properties": [["unit", "C"]], "message_expiry": 60}']::jsonb []) ->> 'queued', '1', 'with properties');
SELECT is(tap.deliver('{org_alice/devices/p/t}', '{1}', properties => ARRAY['{"user_properties": [["unit", "C"]], "message_expiry": 55}']::jsonb []) ->> 'repeated', '1', 'which run down');
SELECT is(tap.deliver('{org_alice/devices/p/t}', '{1}', properties => ARRAY['{"user_properties": [["unit", "F"]]}']::jsonb []) ->> 'queued', '1', 'or change');

-- What cannot be stored is told once.
SELECT is(tap.deliver('{org_alice/devices/o/t,org_alice/devices/a/t}', ARRAY[repeat('x', 300000), '1']) - 'passed_over', '{"dead": 1, "queued": 0, "repeated": 1}', 'what is too large is a dead letter');
SELECT is(tap.deliver('{org_alice/devices/o/t}', ARRAY[repeat('x', 300000)]) ->> 'repeated', '1', 'once');
SELECT is((SELECT count(*) FROM mqtt.mqtt_dead_letters), 1::bigint, 'not twice');

-- What came when it was published, and then was retained.
SELECT is(tap.deliver('{org_alice/devices/k/t}', '{1}', '{f}') ->> 'queued', '1', 'what is published while the bridge listens');
SELECT is(tap.deliver('{org_alice/devices/k/t}', '{0}') ->> 'queued', '1', 'while it waits to be stored, another is stored');
SELECT is(tap.deliver('{org_alice/devices/m/t,org_alice/devices/m/t}', '{1,2}', '{f,f}') ->> 'queued', '2', 'two are published');
SELECT is(tap.deliver('{org_alice/devices/m/t}', '{2}') ->> 'repeated', '1', 'of which the last is a repeat when it is sent as retained, while both wait');
SELECT is(tap.deliver('{org_alice/devices/l/t}', ARRAY['{"b": 1, "a": 2}'], '{f}') ->> 'queued', '1', 'what is published while the bridge listens');
SELECT mqtt.process_batch() \g /dev/null
SELECT is(tap.deliver('{org_alice/devices/l/t}', ARRAY['{"b": 1, "a": 2}']) ->> 'repeated', '1', 'is a repeat when it is sent as retained');
SELECT is(tap.deliver('{org_alice/devices/l/t}', ARRAY['{"b": 1, "a": 3}']) ->> 'queued', '1', 'unless it is another');
SELECT mqtt.process_batch() \g /dev/null
SELECT is_empty('SELECT * FROM mqtt.check_ledger()', 'the ledger is balanced');
SELECT is((SELECT array_agg(m.payload::text ORDER BY m.position) FROM mqtt.mqtt_messages AS m WHERE m.topic LIKE '%/l/t'), '{"{\"a\": 2, \"b\": 1}","{\"a\": 3, \"b\": 1}"}', 'each is stored once');

-- What has changed while the bridge listened, and back while it was away.
SELECT is(tap.deliver('{org_alice/devices/r/t}', '{on}') ->> 'queued', '1', 'a state');
SELECT is(tap.deliver('{org_alice/devices/r/t}', '{off}', '{f}') ->> 'queued', '1', 'changes');
SELECT is(tap.deliver('{org_alice/devices/r/t}', '{on}') ->> 'queued', '1', 'what it has changed back to is new, while the change waits to be stored');
SELECT is(tap.deliver('{org_alice/devices/r/t}', '{off}', '{f}') ->> 'queued', '1', 'it changes again');
SELECT mqtt.process_batch() \g /dev/null
SELECT is(tap.deliver('{org_alice/devices/r/t}', '{on}') ->> 'queued', '1', 'and back, which is new as well once the change is stored');
SELECT mqtt.process_batch() \g /dev/null
SELECT is(tap.deliver('{org_alice/devices/r/t}', '{on}') ->> 'repeated', '1', 'but once');

-- They are forgotten when no broker has sent them for as long as messages are kept.
UPDATE mqtt.retained_messages SET seen_at = now() - interval '400 days' WHERE integration_id = :'external';
SELECT mqtt.apply_retention() \g /dev/null
SELECT is((SELECT count(*) FROM mqtt.retained_messages WHERE integration_id = :'external'), 0::bigint, 'what no broker sends any longer is forgotten');
DELETE FROM mqtt.device_integrations WHERE id = :'hosted';
SELECT is_empty('SELECT FROM mqtt.retained_messages', 'an integration goes with all of them');
SELECT * FROM finish();
ROLLBACK;
