-- mqtt.process_batch where messages are much work: in turns, whoever has little of it first; nothing is lost, and the order is kept.
\ir setup.psql
SELECT plan(30);
CREATE FUNCTION pg_temp.queue(organization uuid, integration uuid, count integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id)
    SELECT clock_timestamp(), jsonb_build_object('topic', 'x', 'payload', n), organization, integration FROM generate_series(1, count) AS n;
    SELECT mqtt.count_accepted(organization, count);
$$;
CREATE FUNCTION pg_temp.waiting() RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(w.slug || ' ' || w.n, ', ' ORDER BY w.slug), 'none')
    FROM (SELECT o.slug, count(*) AS n FROM pgmq.q_mqtt_messages AS q JOIN mqtt.organizations AS o ON o.id = q.organization_id GROUP BY o.slug) AS w
$$;

-- Beside one that has few, none has more than 100 messages in a batch.
SELECT pg_temp.queue(:'org_alice', :'hosted', 900), pg_temp.queue(:'org_bob', :'bob_hosted', 1);
SELECT is(mqtt.process_batch(800), '{"processed": 101, "failed": 0, "dead": 0, "more": true}', 'so many, and all of who has few');
SELECT set_config('topicbase.batch_was_slow', 'false', false);  -- as it may be on a machine that is busy
SELECT is(mqtt.process_batch(800), '{"processed": 100, "failed": 0, "dead": 0, "more": true}', 'and so many for a second after that');
SELECT set_config('topicbase.batch_was_slow', 'false', false), set_config('topicbase.queue_memory', jsonb_set(current_setting('topicbase.queue_memory')::jsonb, '{shared_at}', to_jsonb(now() - interval '1 day'))::text, false);
SELECT is(mqtt.process_batch(400), '{"processed": 400, "failed": 0, "dead": 0, "more": true}', 'then the whole batch');
SELECT set_config('topicbase.batch_was_slow', 'false', false);
SELECT pg_temp.queue(:'org_alice', :'hosted', 501), pg_temp.queue(:'org_bob', :'bob_hosted', 500);
SELECT is(mqtt.process_batch(1000) ->> 'processed', '1000', 'as where nobody has few');
DO $$
BEGIN
    WHILE (mqtt.process_batch() ->> 'more')::boolean LOOP
        NULL;
    END LOOP;
END;
$$;
SELECT is(pg_temp.waiting(), 'none', 'all are stored');
DELETE FROM mqtt.history;

CREATE FUNCTION pg_temp.slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(0.12) FROM mqtt.organizations AS o WHERE o.number = NEW.organization AND o.slug = 'alice';
    RETURN NEW;
END;
$$;
CREATE TRIGGER slow BEFORE INSERT ON mqtt.history FOR EACH ROW EXECUTE FUNCTION pg_temp.slow();
SELECT pg_temp.queue(:'org_alice', :'hosted', 5);
SELECT is(mqtt.process_batch(3) ->> 'processed', '3', 'what nobody knows to be slow goes as a whole');
SELECT is(current_setting('topicbase.batch_was_slow'), 'true', 'and is noticed');
SELECT pg_temp.queue(:'org_alice', :'hosted', 3), pg_temp.queue(:'org_bob', :'bob_hosted', 1);
SELECT is(mqtt.process_batch(), '{"processed": 2, "failed": 0, "dead": 0, "more": true, "is_cut": true}', 'a turn for each');
SELECT is(pg_temp.waiting(), 'alice 4', 'whose messages are much work waits');
SELECT cmp_ok((current_setting('topicbase.organization_costs')::jsonb ->> :'org_alice')::double precision, '>', 100::double precision, 'by what one took');
SELECT pg_temp.queue(:'org_bob', :'bob_hosted', 1);
SELECT is(mqtt.process_batch() ->> 'processed', '2', 'who has little of it goes with each batch');
DROP TRIGGER slow ON mqtt.history;
DO $$
BEGIN
    WHILE (mqtt.process_batch() ->> 'more')::boolean LOOP
        NULL;
    END LOOP;
END;
$$;
SELECT is(pg_temp.waiting(), 'none', 'all are stored in the end');
SELECT is(
    (SELECT array_agg(m.payload ORDER BY m.position) FROM mqtt.mqtt_messages AS m WHERE m.organization_id = :'org_alice' AND m.topic = 'x'),
    '{1,2,3,4,5,1,2,3}'::jsonb [], 'once, and in their order'
);
SELECT is_empty('SELECT * FROM mqtt.check_ledger()', 'and the books agree');
-- Organizations whose messages are much work each are left for another worker, if there is one.
SELECT set_config('topicbase.organization_costs', jsonb_build_object(:'org_alice', 12)::text, false);
SELECT pg_temp.queue(:'org_alice', :'hosted', 3), pg_temp.queue(:'org_bob', :'bob_hosted', 2);
SELECT is(mqtt.process_batch(100, false, '{}') - 'more', jsonb_build_object('processed', 2, 'failed', 0, 'dead', 0, 'heavy', ARRAY[:'org_alice']), 'one is left, and named');
SELECT is(pg_temp.waiting(), 'alice 3', 'its messages wait');
SELECT is(mqtt.process_batch(100, false, ARRAY[:'org_alice']::uuid []) ->> 'processed', '0', 'as long as it is elsewhere');
SELECT is(mqtt.process_heavy(:'org_alice') - 'is_light', '{"processed": 3, "failed": 0, "dead": 0, "more": false}', 'where they are stored');
SELECT is(mqtt.process_heavy(:'org_alice'), '{"processed": 0, "failed": 0, "dead": 0, "more": false}', 'until there are none');
SELECT pg_temp.queue(:'org_alice', :'hosted', 2);
SELECT is(mqtt.process_batch(100, false, '{}', ARRAY[:'org_alice']::uuid []) ->> 'processed', '2', 'unless this worker is to do it');
SELECT is(
    (current_setting('topicbase.organization_costs')::jsonb ->> :'org_alice')::double precision, 10::double precision,
    'which is then to find out again what they take'
);
-- What storing anything takes is nobody's work, however few messages there are to divide it by.
CREATE FUNCTION pg_temp.busy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(0.03), set_config('tap.turns', (current_setting('tap.turns')::integer + 1)::text, false);
    RETURN NULL;
END;
$$;
SELECT set_config('tap.turns', '0', false);
CREATE TRIGGER busy AFTER INSERT ON mqtt.history FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.busy();
SELECT set_config('topicbase.organization_costs', '', false), set_config('topicbase.batch_was_slow', 'true', false);
SELECT pg_temp.queue(:'org_alice', :'hosted', 1), pg_temp.queue(:'org_bob', :'bob_hosted', 1);
SELECT is(mqtt.process_batch(100, false, '{}') ->> 'processed', '2', 'in turns on a busy machine');
SELECT cmp_ok(
    (SELECT min(c.value::double precision) FROM jsonb_each_text(current_setting('topicbase.organization_costs')::jsonb) AS c), '=', 0::double precision,
    'the least that one took is no work'
);
SELECT is(current_setting('tap.turns'), '2', 'each had a turn, since nothing was known');
SELECT set_config('topicbase.organization_costs', jsonb_build_object(:'org_alice', 20, :'org_bob', 20)::text, false), set_config('topicbase.batch_was_slow', 'true', false);
SELECT pg_temp.queue(:'org_alice', :'hosted', 1), pg_temp.queue(:'org_bob', :'bob_hosted', 1);
SELECT is(mqtt.process_batch(100) ->> 'processed' || ' in ' || (current_setting('tap.turns')::integer - 2), '2 in 1', 'and those with little work have one together');
DROP TRIGGER busy ON mqtt.history;
SELECT set_config('topicbase.organization_costs', jsonb_build_object(:'org_alice', 1)::text, false), set_config('topicbase.batch_was_slow', 'true', false);
CREATE OR REPLACE FUNCTION pg_temp.slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(1) FROM mqtt.organizations AS o WHERE o.number = NEW.organization AND o.slug = 'alice';
    RETURN NEW;
END;
$$;
CREATE TRIGGER slow BEFORE INSERT ON mqtt.history FOR EACH ROW EXECUTE FUNCTION pg_temp.slow();
SELECT pg_temp.queue(:'org_alice', :'hosted', 1), pg_temp.queue(:'org_bob', :'bob_hosted', 1);
SELECT is(mqtt.process_batch(100) ->> 'processed', '2', 'in turns, and one is slow');
SELECT is((current_setting('topicbase.organization_costs')::jsonb ->> :'org_alice')::double precision, 7::double precision, 'which is believed step by step');
SELECT pg_temp.queue(:'org_alice', :'hosted', 1);
SELECT is(mqtt.process_heavy(:'org_alice') -> 'is_light', NULL, 'elsewhere, much work is much');
DROP TRIGGER slow ON mqtt.history;
SELECT set_config('topicbase.organization_costs', '', false);
INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id)
SELECT clock_timestamp(), jsonb_build_object('topic', 'x', 'payload', (SELECT jsonb_object_agg(md5(n::text), n) FROM generate_series(1, 5000) AS n)), :'org_bob', :'bob_hosted';
SELECT mqtt.count_accepted(:'org_bob', 1);
SELECT is(mqtt.process_batch(100, false, '{}') -> 'heavy', jsonb_build_array(:'org_bob'), 'what is large counts as much work before anybody has measured it');
SELECT is(mqtt.process_batch() ->> 'processed', '1', 'without another worker, nothing is left');
SELECT * FROM finish();
ROLLBACK;
