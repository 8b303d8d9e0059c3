-- Maintenance that fails for one organization, partition or day: the others' work is done, it is tried again later and later, and doctor is told.
\ir setup.psql
SELECT plan(33);
SET LOCAL timezone = 'UTC';
CREATE FUNCTION tap.refuse() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'refused' USING ERRCODE = TG_ARGV[0];
END;
$$;
CREATE FUNCTION tap.wait_over(step text) RETURNS void
LANGUAGE sql AS $$
    UPDATE mqtt.maintenance_failures AS f SET retry_at = clock_timestamp(), failed_by = NULL WHERE f.step = $1;
$$;
CREATE FUNCTION tap.next_transaction() RETURNS void
LANGUAGE sql AS $$
    UPDATE mqtt.maintenance_failures AS f SET failed_by = NULL;
$$;
SELECT number AS alices_number FROM mqtt.organizations WHERE id = :'org_alice' \gset
-- Others of the setup would make the answers longer.
DELETE FROM mqtt.organizations WHERE id NOT IN (:'org_alice', :'org_bob');

-- The terms of rollups.
SELECT roll_up() IS NOT NULL AS done \gset
INSERT INTO mqtt.rollup_series (organization_id, device_id, metric) VALUES (:'org_alice', :'pump', 't'), (:'org_bob', :'bob_pump', 't');
CREATE FUNCTION tap.old_rollups() RETURNS void
LANGUAGE sql AS $$
    INSERT INTO mqtt.rollups
    SELECT s.organization_id, s.id, 1, now() - interval '3 days', now(), now(), 1, 1, 1, 1, 1, 1, 1 FROM mqtt.rollup_series AS s
    ON CONFLICT DO NOTHING;
    UPDATE mqtt.rollup_progress SET is_trimmed = false;
$$;
CREATE FUNCTION tap.owners() RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(o.slug, ' ' ORDER BY o.slug) FROM mqtt.rollups AS r INNER JOIN mqtt.organizations AS o ON o.id = r.organization_id;
$$;
SELECT old_rollups() IS NOT NULL AS done \gset
UPDATE mqtt.organizations SET rollup_days = 1;
CREATE TRIGGER refuse BEFORE DELETE ON mqtt.rollups FOR EACH ROW WHEN (old.organization_id = '11111111-0000-4000-8000-000000000001') EXECUTE FUNCTION refuse('XX000');
SELECT is(
    mqtt.roll_up_readings() -> 'rollup_terms_failed', jsonb_build_array(jsonb_build_object('subject', 'organization ' || :'org_alice', 'sqlstate', 'XX000', 'reason', 'refused')),
    'the answer names the organization whose rollups could not be removed'
);
SELECT is(owners(), 'alice', 'the neighbour''s are');
SELECT next_transaction() \g /dev/null
SELECT is(mqtt.roll_up_readings() - '{numbers_rolled_up,more}'::text [], '{"rollups_removed": 0}', 'it is left out for a while');
SELECT results_eq(
    'SELECT failures, retry_at - failed_at FROM mqtt.maintenance_failures', $$VALUES (1, interval '20 seconds')$$, 'a short one'
);
SELECT wait_over('rollup_terms') IS NOT NULL AS done \gset
DROP TRIGGER refuse ON mqtt.rollups;
CREATE TRIGGER refuse BEFORE DELETE ON mqtt.rollups FOR EACH ROW WHEN (old.organization_id = '11111111-0000-4000-8000-000000000001') EXECUTE FUNCTION refuse('57014');
SELECT old_rollups() \g /dev/null
SELECT mqtt.roll_up_readings() ->> 'more' AS more \gset
SELECT results_eq(
    'SELECT sqlstate, failures, retry_at - failed_at FROM mqtt.maintenance_failures', $$VALUES ('57014', 2, interval '40 seconds')$$, 'a time limit is a failure like others, and each pause is longer'
);
SELECT mqtt.roll_up_readings() \g /dev/null
SELECT is(mqtt.must_wait('rollups', 'organization of somebody else'), true, 'once a transaction has reached its time limit, what is left waits for the next');
SELECT next_transaction() \g /dev/null
SELECT is(mqtt.must_wait('rollups', 'organization of somebody else'), false, 'and no longer');
SELECT mqtt.roll_up_readings() \g /dev/null
SELECT is(owners(), 'alice', 'which does the neighbour''s');
DROP TRIGGER refuse ON mqtt.rollups;
SELECT wait_over('rollup_terms') \g /dev/null
SELECT mqtt.roll_up_readings() \g /dev/null
SELECT is(owners(), NULL, 'once it can be done, it is');
SELECT is_empty('SELECT FROM mqtt.maintenance_failures', 'and no failure any longer');
SELECT is(mqtt.retry_after(40, 'XX000'), interval '1 hour', 'an hour is the longest pause');
SELECT is(mqtt.retry_after(40, '55P03'), interval '5 minutes', 'five minutes after what passes by itself, such as a lock');

-- Closing time.
UPDATE mqtt.rollup_progress SET closed_until = closed_until - interval '1 hour', rolled_until = rolled_until - interval '1 hour';
CREATE TRIGGER refuse BEFORE UPDATE ON mqtt.rollup_progress FOR EACH ROW
WHEN (new.organization_id = '11111111-0000-4000-8000-000000000001' AND new.closed_until > old.closed_until) EXECUTE FUNCTION refuse('XX000');
SELECT is(mqtt.close_readings(), 1, 'time is closed for the others');
SELECT is(mqtt.failed_now('closing') #>> '{closing_failed,0,subject}', 'organization ' || :'org_alice', 'where one organization''s cannot be');
DROP TRIGGER refuse ON mqtt.rollup_progress;
DELETE FROM mqtt.maintenance_failures;

-- Retention.
SELECT mqtt.create_partition('mqtt.history', (now() AT TIME ZONE 'UTC')::date - d) FROM unnest('{3,30,31}'::integer []) AS d \g /dev/null
INSERT INTO mqtt.mqtt_messages (received_at, measured_at, position, organization_id, id, integration_id, direction, topic, payload)
SELECT now() - make_interval(days => d), now(), d, o.id, gen_random_uuid(), :'hosted', 'incoming', o.slug || '/' || d, '1'
FROM unnest('{3,30,31}'::integer []) AS d CROSS JOIN mqtt.organizations AS o;
INSERT INTO mqtt.ingest_keys (organization_id, credential_id, message_id, received_at) VALUES (:'org_alice', :'pump_login', gen_random_uuid(), now() - interval '25 hours');
INSERT INTO mqtt.mqtt_requests (organization_id, integration_id, request_type, created_at) VALUES (:'org_alice', :'hosted', 'test_connection', now() - interval '2 days');
UPDATE mqtt.organizations SET completed_days = 2;
SELECT mqtt.write_pack(ARRAY[h], 0) FROM mqtt.history AS h INNER JOIN mqtt.organizations AS o ON o.number = h.organization WHERE h.position = 3 \g /dev/null
CREATE TRIGGER refuse BEFORE DELETE ON mqtt.history FOR EACH ROW WHEN (old.organization = :alices_number) EXECUTE FUNCTION refuse('XX000');
CREATE TRIGGER refuse BEFORE DELETE ON mqtt.packs FOR EACH ROW WHEN (old.organization = :alices_number) EXECUTE FUNCTION refuse('XX000');
CREATE TRIGGER refuse BEFORE DELETE ON mqtt.ingest_keys FOR EACH ROW EXECUTE FUNCTION refuse('XX000');
SELECT format('CREATE VIEW tap.depends AS SELECT FROM mqtt.history_%s', to_char((now() AT TIME ZONE 'UTC')::date - 31, 'YYYYMMDD')) \gexec
SELECT mqtt.run_maintenance() AS done \gset
SELECT set_eq(
    format('SELECT f.value ->> ''subject'' FROM jsonb_array_elements(%L::jsonb -> ''retention_failed'') AS f', :'done'),
    format(
        $$SELECT unnest(ARRAY['mqtt.history of organization %1$s', 'mqtt.packs of organization %1$s', 'mqtt.ingest_keys', 'mqtt.history_%2$s'])$$, :'org_alice',
        to_char((now() AT TIME ZONE 'UTC')::date - 31, 'YYYYMMDD')
    ), 'the answer names what could not be removed'
);
SELECT is(
    (SELECT string_agg(m.topic, ' ' ORDER BY m.topic) FROM mqtt.mqtt_messages AS m WHERE m.position > 0), 'alice/3 alice/3 alice/31',
    'the neighbour''s messages go, and the day that can be dropped'
);
SELECT is_empty('SELECT FROM mqtt.mqtt_requests', 'as do the rows of other tables');
SELECT ok((:'done'::jsonb) ? 'ledger', 'other steps are done');
SELECT is((mqtt.apply_retention()) -> 'completed', '0', 'what failed is left out for a while');
SELECT results_eq(
    'SELECT f.failures, count(*) FROM mqtt.maintenance_failures AS f GROUP BY f.failures', 'VALUES (1, 4::bigint)', 'each by itself'
);
SELECT is(
    (SELECT jsonb_agg(f.value -> 'step') FROM jsonb_array_elements(bridge.diagnose() -> 'maintenance_failures') AS f), '["retention", "retention", "retention", "retention"]',
    'topicbase doctor is told'
);
DROP VIEW tap.depends;
DROP TRIGGER refuse ON mqtt.history;
DROP TRIGGER refuse ON mqtt.packs;
DROP TRIGGER refuse ON mqtt.ingest_keys;
SELECT wait_over('retention') \g /dev/null
SELECT is(mqtt.apply_retention() - '{failed,activity,readings,receipts,requests,callbacks,more}'::text [], '{"completed": 3, "idempotency_keys": 1}', 'once it can be done, it is');
SELECT is((SELECT string_agg(concat_ws(' ', f.step, f.subject, f.failure), '; ') FROM mqtt.maintenance_failures AS f), NULL, 'and no failure any longer');

-- Retention that fails as a whole, as it may not begin before rollups know of it.
UPDATE mqtt.rollup_progress SET raw_since = '-infinity';
CREATE TRIGGER refuse BEFORE UPDATE ON mqtt.rollup_progress FOR EACH ROW WHEN (new.raw_since > old.raw_since) EXECUTE FUNCTION refuse('57014');
SELECT mqtt.run_maintenance() AS done \gset
SELECT is((:'done'::jsonb) ->> 'retention_failed', 'refused', 'retention that reaches a time limit is told, not raised');
SELECT ok((:'done'::jsonb) ?& '{numbers_rolled_up,messages_packed}', 'and takes nothing back of what came before');
SELECT next_transaction() \g /dev/null
SELECT mqtt.run_maintenance() AS done \gset
SELECT ok((:'done'::jsonb) ?& '{ledger,partitions_made}' AND NOT (:'done'::jsonb) ? 'retention_failed', 'the next call does the other steps, and leaves it out');
DROP TRIGGER refuse ON mqtt.rollup_progress;
DELETE FROM mqtt.maintenance_failures;

-- Packing: a day that fails is passed over.
UPDATE mqtt.organizations SET completed_days = NULL;
UPDATE mqtt.configuration SET completed_days = 90, settled_days = 2, pack_after = 1;
SELECT (now() AT TIME ZONE 'UTC')::date - 9 AS day, (now() AT TIME ZONE 'UTC')::date - 8 AS day_after \gset
SELECT count(mqtt.create_partition('mqtt.history', d)) FROM unnest(ARRAY[:'day'::date, :'day_after']) AS d \g /dev/null
INSERT INTO mqtt.mqtt_messages (received_at, measured_at, position, organization_id, id, integration_id, direction, topic, payload)
SELECT d + interval '5 hours', d, 1, :'org_alice', gen_random_uuid(), :'hosted', 'incoming', 'packed', '1' FROM unnest(ARRAY[:'day'::timestamptz, :'day_after']) AS d;
INSERT INTO mqtt.ledger (organization_id, bucket, shard, accepted, completed)
SELECT :'org_alice', d + interval '5 hours', mqtt.ledger_level_settled(), 1, 1 FROM unnest(ARRAY[:'day'::timestamptz, :'day_after']) AS d;
CREATE FUNCTION tap.pack() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..20 LOOP
        EXIT WHEN NOT (mqtt.pack_next(1000) ->> 'more')::boolean;
    END LOOP;
END;
$$;
SELECT format(
    'CREATE TRIGGER refuse BEFORE INSERT ON mqtt.packs FOR EACH ROW WHEN (new.first_received_at < %L) EXECUTE FUNCTION tap.refuse(''XX000'')', :'day_after'::timestamptz
) \gexec
SELECT is(mqtt.pack_next(1000) #>> '{packing_failed,0,subject}', :'day', 'the answer names the day that cannot be packed');
SELECT pack() \g /dev/null
SELECT results_eq(
    format('SELECT d.day, d.state FROM mqtt.packed_days AS d WHERE d.day <= %L ORDER BY d.day', :'day_after'), format($$VALUES (%L::date, 'packing'), (%L, 'packed')$$, :'day', :'day_after'), 'the next day is packed meanwhile'
);
DROP TRIGGER refuse ON mqtt.packs;
SELECT wait_over('packing') \g /dev/null
SELECT pack() \g /dev/null
SELECT is((SELECT string_agg(d.state, ' ') FROM mqtt.packed_days AS d WHERE d.day <= :'day_after'), 'packed packed', 'once it can be packed, it is');
UPDATE mqtt.packed_days SET packed_by = '3';
SELECT format('CREATE VIEW tap.depends AS SELECT FROM mqtt.history_%s', to_char(:'day'::date, 'YYYYMMDD')) \gexec
SELECT is(mqtt.drop_packed_rows(), NULL, 'rows of a packed day that cannot be dropped');
SELECT is(mqtt.drop_packed_rows(), :'day_after', 'do not keep those of the next from it');

-- What is gone is forgotten.
SELECT is(mqtt.try_maintenance('openapi'), '{}', 'steps by themselves');
UPDATE mqtt.maintenance_failures SET retry_at = now() - interval '25 hours';
SELECT mqtt.run_periodic_tasks() \g /dev/null
SELECT is_empty('SELECT FROM mqtt.maintenance_failures', 'what nobody has tried for a day is forgotten');
SELECT * FROM finish();
ROLLBACK;
