-- Retention, partitions, the ledger, capacity, statistics, replay.
\ir setup.psql
SELECT plan(122);

-- Partitions.
SELECT is(
    (SELECT count(*) FROM pg_inherits AS i WHERE i.inhparent = 'mqtt.history'::regclass),
    (SELECT partitions_ahead + 2 FROM mqtt.configuration)::bigint, 'today, the days ahead, and the default partition are there'
);
SELECT is_empty(
    $$SELECT k.relname FROM pg_inherits AS i JOIN pg_class AS k ON k.oid = i.inhrelid WHERE k.relnamespace = 'mqtt'::regnamespace AND k.relkind = 'r' AND NOT k.relrowsecurity$$,
    'row-level security is on in each partition'
);
SELECT is_empty(
    $$SELECT k.relname, r.rolname FROM pg_inherits AS i JOIN pg_class AS k ON k.oid = i.inhrelid CROSS JOIN pg_roles AS r
    WHERE k.relnamespace = 'mqtt'::regnamespace AND k.relkind = 'r' AND r.rolname IN ('anon', 'authenticated', 'service_role', 'mqtt_bridge')
        AND has_table_privilege(r.oid, k.oid, 'select, insert, update, delete')$$,
    'no role reaches a partition past its table'
);
INSERT INTO mqtt.mqtt_messages (received_at, measured_at, position, organization_id, id, integration_id, direction, topic, payload)
SELECT now() + make_interval(days => 40), now(), 0, :'org_alice', gen_random_uuid(), :'hosted', 'incoming', 'org_alice/far', '1' FROM generate_series(1, 3);
SELECT is((SELECT count(*) FROM mqtt.history_default), 3::bigint, 'a day without a partition goes to the default one');
SELECT ok(mqtt.create_partition('mqtt.history', (now() AT TIME ZONE 'UTC')::date + 40), 'its partition can be made later');
SELECT is((SELECT count(*) FROM mqtt.history_default), 0::bigint, 'which takes the rows over');
SELECT is((SELECT count(*) FROM mqtt.mqtt_messages WHERE topic = 'org_alice/far'), 3::bigint, 'and loses none');
SELECT ok(NOT mqtt.create_partition('mqtt.history', (now() AT TIME ZONE 'UTC')::date + 40), 'making it again does nothing');

-- A default partition that took many rows becomes a partition itself.
SELECT ok('{lock_timeout=50ms}' <@ p.proconfig, p.proname || ' keeps nobody waiting for longer than that')
FROM pg_proc AS p WHERE p.pronamespace = 'mqtt'::regnamespace AND p.proname IN ('create_partition', 'adopt_default_partition') ORDER BY p.proname;
CREATE FUNCTION pg_temp.drop_partitions() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_partition regclass;
BEGIN
    FOR v_partition IN SELECT r.partition FROM mqtt.partition_ranges('mqtt.mqtt_publish_receipts') AS r LOOP
        EXECUTE format('DROP TABLE %s', v_partition);
    END LOOP;
END;
$$;
SELECT pg_temp.drop_partitions();
SELECT is(mqtt.prepare_partitions_of('mqtt.mqtt_publish_receipts', 3), 1, 'first the partition of today is made');
SELECT ok(
    EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'mqtt.mqtt_publish_receipts'::regclass AND mode = 'ShareRowExclusiveLock'),
    'with a lock that lets no row come between its move and the attach'
);
SELECT is(mqtt.prepare_partitions_of('mqtt.mqtt_publish_receipts', 3), 3, 'then those ahead');
SELECT pg_temp.drop_partitions();
INSERT INTO mqtt.mqtt_publish_receipts (queued_at, organization_id, id, integration_id, qos, attempts, state, topic)
SELECT now() - n % 3 * interval '1 day', :'org_alice', gen_random_uuid(), :'hosted', 1, 1, 'sent', 'adopted' FROM generate_series(1, 10000) AS n;
SELECT mqtt.create_partition('mqtt.mqtt_publish_receipts', (now() AT TIME ZONE 'UTC')::date - 5) \g /dev/null
SELECT pg_relation_filenode('mqtt.mqtt_publish_receipts_default') AS file \gset
SELECT is(mqtt.prepare_partitions_of('mqtt.mqtt_publish_receipts', 3), 0, 'with many rows in the default one, it is given a range');
SELECT is(mqtt.prepare_partitions_of('mqtt.mqtt_publish_receipts', 3), 1, 'and becomes the partition of that');
SELECT is(
    (SELECT array_agg((r.end_at - r.first_at) ORDER BY r.first_at) FROM mqtt.partition_ranges('mqtt.mqtt_publish_receipts') AS r),
    '{1 day,12 days}', 'which goes from the last one to a week from today'
);
SELECT is((SELECT count(*) FROM mqtt.mqtt_publish_receipts WHERE topic = 'adopted'), 10000::bigint, 'with all rows');
SELECT is(
    (SELECT pg_relation_filenode(max(r.partition::oid)) FROM mqtt.partition_ranges('mqtt.mqtt_publish_receipts') AS r WHERE now() < r.end_at), :file::oid,
    'none of which was moved'
);
SELECT is((SELECT count(*) FROM mqtt.mqtt_publish_receipts_default), 0::bigint, 'beside a new, empty default one');
SELECT is(mqtt.prepare_partitions_of('mqtt.mqtt_publish_receipts', 3), 0, 'so the days ahead are there, too');
SELECT is(
    (SELECT count(*) FROM mqtt.expired_partitions('mqtt.mqtt_publish_receipts', 5)), 0::bigint, 'and expires when its last day does'
);
SELECT is(
    (SELECT count(*) FROM mqtt.expired_partitions('mqtt.mqtt_publish_receipts', 4)), 1::bigint, 'others as ever'
);
UPDATE mqtt.configuration SET receipt_days = 1;
SELECT is(
    (SELECT array_agg(x.gone) FROM (SELECT mqtt.apply_retention(2000) - '{completed,failed,activity,readings,requests,callbacks,idempotency_keys}'::text [] AS gone FROM generate_series(1, 2)) AS x),
    ARRAY['{"receipts": 3333, "more": true}', '{"receipts": 0, "more": false}']::jsonb [], 'but the rows of a day go when that has expired'
);
UPDATE mqtt.configuration SET receipt_days = 7;
-- Rows of another gap, which no one range holds.
SELECT pg_temp.drop_partitions();
INSERT INTO mqtt.mqtt_publish_receipts (queued_at, organization_id, id, integration_id, qos, attempts, state, topic)
SELECT now() - n % 2 * interval '9 days', :'org_alice', gen_random_uuid(), :'hosted', 1, 1, 'sent', 'adopted' FROM generate_series(1, 10000) AS n;
SELECT mqtt.create_partition('mqtt.mqtt_publish_receipts', (now() AT TIME ZONE 'UTC')::date - 5) \g /dev/null
SELECT mqtt.prepare_partitions_of('mqtt.mqtt_publish_receipts', 3) \g /dev/null
SELECT throws_ok($$SELECT mqtt.prepare_partitions_of('mqtt.mqtt_publish_receipts', 3)$$, '23514', NULL, 'it stays as it is where it cannot be one partition');
SELECT ok((p.postponed ~ 'mqtt_publish_receipts: ') AND p.made >= 0, 'which maintenance says, and goes on') FROM mqtt.prepare_partitions() AS p;

-- Retention.
SELECT mqtt.create_partition(t, (now() AT TIME ZONE 'UTC')::date - d)
FROM unnest(ARRAY['mqtt.history', 'mqtt.mqtt_dead_letters', 'mqtt.integration_activity_log']::regclass []) AS t
CROSS JOIN unnest(ARRAY[6, 8, 31]) AS d \g /dev/null
INSERT INTO mqtt.mqtt_messages (received_at, measured_at, position, organization_id, id, integration_id, direction, topic, payload)
SELECT now() - make_interval(days => d), now(), 0, o.id, gen_random_uuid(), :'hosted', 'incoming', 'old/' || d, '1'
FROM unnest(ARRAY[0, 3, 6, 8, 31]) AS d CROSS JOIN mqtt.organizations AS o;
INSERT INTO mqtt.mqtt_dead_letters (failed_at, received_at, organization_id, id, integration_id, direction, attempts, error_message, topic)
SELECT now() - make_interval(days => d), now(), :'org_alice', gen_random_uuid(), :'hosted', 'incoming', 3, 'boom', 'org_alice/dead/' || d
FROM unnest(ARRAY[0, 8, 31]) AS d;
SELECT act_as('service_role');
SELECT is(
    api.cleanup_mqtt_queue(), '{"failed": 1, "activity": 0, "readings": 0, "receipts": 5000, "requests": 0, "callbacks": 0, "completed": 4, "idempotency_keys": 0, "more": false}',
    'completed messages and receipts go after 7 days, failed ones after 30'
);
SELECT act_as('none');
SELECT results_eq($$SELECT DISTINCT topic FROM mqtt.mqtt_messages WHERE topic LIKE 'old/%' ORDER BY 1$$, $$VALUES ('old/0'), ('old/3'), ('old/6')$$, 'the others stay');
SELECT act_as('service_role');
SELECT is((api.set_organization_limits(:'org_bob', completed_days => 2)).completed_days, 2, 'an organization may keep less');
SELECT is(api.cleanup_mqtt_queue() ->> 'completed', '2', 'its own rows go earlier');
SELECT act_as('none');
SELECT is((SELECT count(*) FROM mqtt.mqtt_messages WHERE organization_id = :'org_alice' AND topic LIKE 'old/%'), 3::bigint, 'the other''s do not');
INSERT INTO mqtt.mqtt_messages (received_at, measured_at, position, organization_id, id, integration_id, direction, topic, payload)
SELECT now() - make_interval(days => d) - row_number() OVER () * interval '1 s', now(), 0, o.id, gen_random_uuid(), :'hosted', 'incoming', 'many', '1'
FROM unnest('{3,3,3,3,3,200}'::integer []) AS d CROSS JOIN mqtt.organizations AS o;
UPDATE mqtt.organizations SET completed_days = 1 WHERE slug <> 'bob';
SELECT is(mqtt.apply_retention(1) - '{failed,activity,readings,receipts,requests,callbacks,idempotency_keys}'::text [], '{"completed": 1, "more": true}', 'no more at once than is said');
SELECT ok((mqtt.apply_retention() ->> 'completed')::integer >= 11, 'the rest later, what lay in the default partition, too');
SELECT is((SELECT count(*) FROM mqtt.mqtt_messages WHERE topic = 'many'), 0::bigint, 'all of it');
-- Work items that nobody took for long: what they stand for stays, and nothing else.
UPDATE mqtt.organizations SET completed_days = CASE WHEN slug = 'bob' THEN 2 ELSE 7 END, history_trimmed_to = NULL;
SELECT mqtt.create_partition('mqtt.history', (now() AT TIME ZONE 'UTC')::date - 20) IS NOT NULL AS done \gset
INSERT INTO mqtt.mqtt_messages (received_at, measured_at, position, organization_id, id, integration_id, direction, topic, payload)
SELECT now() - make_interval(days => d) - n * interval '1 s', now(), n, o.id, gen_random_uuid(), :'hosted', 'incoming', 'stuck', to_jsonb(d)
FROM unnest('{3,20,25}'::integer []) AS d CROSS JOIN mqtt.organizations AS o CROSS JOIN generate_series(1, 3) AS n WHERE o.slug IN ('alice', 'bob');
INSERT INTO pgmq.q_mqtt_messages (enqueued_at, vt, message, organization_id, integration_id, organization, msg_id)
OVERRIDING SYSTEM VALUE
SELECT m.received_at, now() + interval '1 day', '{}', m.organization_id, m.integration_id, m.organization, -m.position - extract(EPOCH FROM m.received_at)::bigint
FROM mqtt.mqtt_messages AS m INNER JOIN mqtt.organizations AS o ON o.id = m.organization_id
WHERE m.topic = 'stuck' AND m.position = 2 AND o.slug = CASE m.payload WHEN '3' THEN 'bob' ELSE 'alice' END;
CREATE FUNCTION pg_temp.stuck() RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_agg(concat_ws(' ', o.slug, m.payload, m.position) ORDER BY o.slug, m.payload, m.position)
    FROM mqtt.mqtt_messages AS m INNER JOIN mqtt.organizations AS o ON o.id = m.organization_id WHERE m.topic = 'stuck';
$$;
SELECT is(mqtt.apply_retention() -> 'completed', '12', 'messages that wait for long hold up no others');
SELECT is(pg_temp.stuck(), '["alice 3 1", "alice 3 2", "alice 3 3", "alice 20 2", "alice 25 2", "bob 3 2"]', 'neither of their day nor later ones, and stay');
SELECT is(mqtt.apply_retention() -> 'completed', '0', 'again and again');
SELECT is((SELECT history_trimmed_to FROM mqtt.organizations WHERE slug = 'bob'), now() - interval '3 days 2 s', 'retention comes back to them');
DELETE FROM pgmq.q_mqtt_messages WHERE message = '{}';
SELECT is(mqtt.apply_retention() -> 'completed', '3', 'once they are settled, they go');
SELECT is(pg_temp.stuck(), '["alice 3 1", "alice 3 2", "alice 3 3"]', 'and nothing else');
INSERT INTO pgmq.q_mqtt_messages (enqueued_at, vt, message, organization_id, integration_id, organization)
SELECT now() - interval '30 days' + n * interval '1 s', now() + interval '1 day', '{}', :'org_alice', :'hosted', 1 FROM generate_series(1, 1001) AS n;
SELECT is(mqtt.trimmed_until(now()), now() - interval '30 days' + interval '1001 s', 'where thousands wait, retention looks at a thousand of them');
DELETE FROM pgmq.q_mqtt_messages WHERE message = '{}';
DELETE FROM mqtt.mqtt_messages WHERE topic = 'stuck';
UPDATE mqtt.organizations SET completed_days = NULL;
SELECT act_as('service_role');
SELECT refuses(format('SELECT api.set_organization_limits(%L, max_per_second => -1)', :'org_bob'), 'PT400', 'limit_invalid', 'a limit below 1');
SELECT refuses(format('SELECT api.set_organization_limits(%L)', :'unknown'), 'PT404', 'organization_not_found', 'an unknown organization');
SELECT act_as('none');
-- Days that were never packed are counted before they go.
SELECT ((now() AT TIME ZONE 'UTC')::date - 9)::timestamp AT TIME ZONE 'UTC' AS gone_day \gset
SELECT mqtt.create_partition('mqtt.history', (now() AT TIME ZONE 'UTC')::date - 9) IS NOT NULL AS done \gset
INSERT INTO mqtt.mqtt_messages (received_at, measured_at, position, organization_id, id, integration_id, direction, topic, payload)
SELECT :'gone_day'::timestamptz + interval '5 hours', now(), n, o.id, gen_random_uuid(), :'hosted', 'incoming', 'gone', '1'
FROM mqtt.organizations AS o CROSS JOIN generate_series(1, 2) AS n WHERE o.slug IN ('alice', 'bob');
INSERT INTO mqtt.ledger (organization_id, bucket, shard, accepted, completed, deleted)
SELECT o.id, :'gone_day'::timestamptz + interval '5 hours', mqtt.ledger_level_settled(), 5, 5, CASE o.slug WHEN 'bob' THEN 3 ELSE 1 END
FROM mqtt.organizations AS o WHERE o.slug IN ('alice', 'bob');
SELECT is(mqtt.apply_retention() -> 'lacking', '2', 'messages of a day that are neither stored nor were deleted by request are named before its rows go');
SELECT is(mqtt.apply_retention() -> 'lacking', NULL, 'once');
DELETE FROM mqtt.ledger;
INSERT INTO mqtt.ingest_keys (organization_id, credential_id, message_id, received_at)
VALUES (:'org_alice', :'pump_login', gen_random_uuid(), now() - interval '25 hours'), (:'org_alice', :'pump_login', gen_random_uuid(), now());
SELECT is(mqtt.apply_retention() ->> 'idempotency_keys', '1', 'message ids are forgotten after their window');

-- The ledger.
DELETE FROM mqtt.ledger;
SELECT mqtt.count_accepted(:'org_alice', 5);
SELECT is((SELECT difference FROM mqtt.check_ledger()), 5::bigint, 'messages that are nowhere are found');
SELECT results_eq('SELECT organization_id, difference FROM api.check_mqtt_ledger()', format('VALUES (%L::uuid, 5::bigint)', :'org_alice'), 'the API tells the same');
INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id)
SELECT now(), jsonb_build_object('topic', 'org_alice/x', 'payload', n), :'org_alice', :'hosted' FROM generate_series(1, 5) AS n;
SELECT is_empty('SELECT * FROM mqtt.check_ledger()', 'queued ones are somewhere');
DELETE FROM pgmq.q_mqtt_messages WHERE message -> 'payload' = '3';
SELECT is((SELECT difference FROM mqtt.check_ledger()), 1::bigint, 'one deleted by hand is missed');
SELECT mqtt.count_accepted(:'org_alice', -1);
SELECT mqtt.process_batch(3);
SELECT is_empty('SELECT * FROM mqtt.check_ledger()', 'stored and queued ones add up');
SELECT is(mqtt.roll_up_ledger(), 0::bigint, 'a minute that may still be counted in is left alone');
INSERT INTO mqtt.ledger (organization_id, bucket, shard, accepted, completed)
SELECT :'org_alice', date_trunc('minute', now() - interval '7 minutes'), s, CASE WHEN s >= 0 THEN 2 ELSE 0 END, CASE WHEN s < 0 THEN 4 ELSE 0 END
FROM unnest('{-1,3,67}'::integer []) AS s;
SELECT is(mqtt.roll_up_ledger(), 2::bigint, 'the shards of a minute that is over are added up');
SELECT results_eq(
    $$SELECT shard, accepted, completed FROM mqtt.ledger WHERE bucket = date_trunc('minute', now() - interval '7 minutes') ORDER BY shard$$,
    $$VALUES (-3::smallint, 4::bigint, 0::bigint), (-1::smallint, 0::bigint, 4::bigint)$$, 'to one row, beside that of the workers'
);
DELETE FROM mqtt.ledger WHERE bucket = date_trunc('minute', now() - interval '7 minutes');
UPDATE mqtt.ledger SET bucket = bucket - interval '5 hours';
UPDATE pgmq.q_mqtt_messages SET enqueued_at = enqueued_at - interval '5 hours';
SELECT ok(mqtt.roll_up_ledger() > 0, 'minutes are rolled up to hours');
SELECT is_empty('SELECT * FROM mqtt.check_ledger()', 'which changes no sum');
SELECT ok(bool_and(shard = -2 AND bucket = date_trunc('hour', bucket)), 'only whole hours are left') FROM mqtt.ledger;
SELECT is(mqtt.roll_up_ledger(), 0::bigint, 'an hour with a message that waits stays open');
INSERT INTO mqtt.ledger (organization_id, bucket, shard, accepted, completed, dead, expired)
VALUES (:'org_bob', date_trunc('hour', now() - interval '5 hours'), -2, 5, 3, 1, 1), (:'org_bob', now() - interval '100 days', -4, 2, 2, 0, 0),
(:'org_bob', now() - interval '99 days', -4, 1, 1, 0, 0), (:'org_bob', now() - interval '20 days', -4, 1, 1, 0, 0);
SELECT is(mqtt.roll_up_ledger(), 3::bigint, 'one of which all are settled is closed; what is older than any term goes into one row');
SELECT results_eq(
    format('SELECT bucket, shard, accepted, completed FROM mqtt.ledger WHERE organization_id = %L ORDER BY bucket', :'org_bob'),
    $$VALUES ('-infinity'::timestamptz, -4::smallint, 3::bigint, 3::bigint), (now() - interval '20 days', -4::smallint, 1::bigint, 1::bigint),
    (date_trunc('hour', now() - interval '5 hours'), -4::smallint, 5::bigint, 3::bigint)$$, 'with the same sums'
);
SELECT is_empty('SELECT * FROM mqtt.check_ledger()', 'and the books add up');
SELECT is((SELECT messages FROM mqtt.queue_depths() WHERE queue = 'ingest'), 1::bigint, 'closed hours hold none that wait');
DELETE FROM mqtt.ledger WHERE organization_id = :'org_bob';

-- Statistics.
SELECT act_as('authenticated', :'anna');
SELECT is(api.get_mqtt_queue_stats(:'org_alice') - '{rates,seconds_in_queue,top_errors,oldest_pending_seconds}'::text [],
    format('{"organization_id": "%s", "pending": 1, "processing": 0, "completed": 3, "failed": 0, "dead": 0, "retrying": 0}', :'org_alice')::jsonb, 'counts by status');
SELECT ok((api.get_mqtt_queue_stats(:'org_alice') ->> 'oldest_pending_seconds')::numeric > 17999, 'the oldest waits five hours');
SELECT act_as('none');
INSERT INTO pgmq.q_mqtt_messages (enqueued_at, vt, message, organization_id, integration_id, attempts)
VALUES (now() - interval '6 hours', now() + interval '1 hour', '{"topic": "org_alice/x"}', :'org_alice', :'hosted', 1) RETURNING msg_id AS retried \gset
SELECT act_as('authenticated', :'anna');
SELECT ok((api.get_mqtt_queue_stats(:'org_alice') ->> 'oldest_pending_seconds')::numeric > 21599, 'or six, with one that waits for another attempt');
SELECT act_as('none');
DELETE FROM pgmq.q_mqtt_messages WHERE msg_id = :retried;
SELECT act_as('authenticated', :'anna');
SELECT extract(EPOCH FROM now() - date_trunc('minute', now() - interval '1 minute')) AS seconds \gset
SELECT is((api.get_mqtt_queue_stats(:'org_alice') -> 'rates' -> '1m' ->> 'out_per_second')::numeric, round(3 / :seconds, 3), 'three since the beginning of the last minute');
SELECT act_as('none');
SELECT mqtt.log_activity(:'org_alice', :'hosted', CASE WHEN n <= 3 THEN 'message_failed' ELSE 'message_dead' END, 'failed', '{}', 'bang') FROM generate_series(1, 9) AS n \g /dev/null
UPDATE mqtt.ledger SET bucket = date_trunc('minute', now() - interval '1 minute') WHERE organization_id = :'org_alice';
SELECT mqtt.log_activity(:'org_alice', :'hosted', 'message_failed', 'failed', jsonb_build_object('code', '23514'), format('pump %s is "%s"', n, md5(n::text))) FROM generate_series(1, 20) AS n \g /dev/null
UPDATE mqtt.integration_activity_log SET created_at = now() - interval '5 minutes' WHERE details ->> 'code' = '23514';
SELECT act_as('authenticated', :'anna');
SELECT results_eq(
    format($$SELECT e ->> 'code', e ->> 'error' LIKE 'pump 9 is %%' OR e ->> 'error' = 'bang', (e -> 'count')::integer FROM jsonb_array_elements(api.get_mqtt_queue_stats(%L) -> 'top_errors') AS e$$, :'org_alice'),
    $$VALUES ('23514', true, 20), (NULL, true, 9)$$, 'errors that differ in a name or a number only are counted as one'
);
SELECT is(
    (api.get_mqtt_queue_stats(:'org_alice') -> 'rates' -> '1m') - '{in_per_second,out_per_second}'::text [],
    jsonb_build_object('dead_per_second', round(6 / :seconds, 3), 'retry_per_second', round(3 / :seconds, 3)), 'failures and dead letters likewise'
);
SELECT ok((api.get_mqtt_queue_stats(:'org_alice') -> 'rates' -> '1m' ->> 'in_per_second')::numeric BETWEEN 3 / :seconds - 0.001 AND 4 / :seconds + 0.001, 'what came in the minute before this one is in the last minute');
SELECT act_as('none');
UPDATE mqtt.ledger SET bucket = date_trunc('hour', now() - interval '5 hours') WHERE organization_id = :'org_alice';
SELECT act_as('authenticated', :'anna');
SELECT refuses(format('SELECT api.get_mqtt_queue_stats(%L)', :'org_bob'), 'PT404', 'organization_not_found', 'another organization');
SELECT refuses(format('SELECT api.get_mqtt_queue_stats(%L)', :'unknown'), 'PT404', 'organization_not_found', 'an unknown one: the same answer');
SELECT is(
    api.get_mqtt_queue_stats(org_id => :'org_alice') ->> 'organization_id', :'org_alice'::text, 'org_id is another name for organization_id'
);
SELECT is(
    api.get_mqtt_queue_stats(:'org_alice', :'org_alice') ->> 'organization_id', :'org_alice'::text, 'both may be given, if they agree'
);
SELECT refuses(
    format('SELECT api.get_mqtt_queue_stats(%L, %L)', :'org_alice', :'org_bob'), 'PT400', 'argument_conflict', 'two organizations', 'organization_id and org_id %'
);
SELECT refuses('SELECT api.get_mqtt_queue_stats()', 'PT400', 'argument_missing', 'no organization');

-- Capacity.
SELECT act_as('none');
SELECT is(mqtt.check_capacity() ->> 'ingest_pause', NULL, 'both queues are open');
UPDATE mqtt.configuration SET max_queued = 1, min_free_bytes = 0;
SELECT mqtt.count_accepted(:'org_alice', 3);
SELECT is(mqtt.check_capacity() ->> 'ingest_pause', 'More than 1 messages wait to be processed.', 'a full queue closes it');
SELECT act_as('authenticated', :'alice');
SELECT throws_like(
    format('SELECT api.replay_mqtt_dead_letters(%L)', :'org_alice'), '%"queue_paused"%', 'for replays as well'
);
SELECT is(api.replay_mqtt_dead_letters(:'org_alice', dry_run => true) ->> 'replayed', '0', 'which may be tried');
SELECT is(api.mqtt_publish(:'external', '[{"topic": "a", "payload": 1}, {"topic": "b", "payload": 1}]') ->> 'status', 'queued', 'mqtt_publish has a queue of its own');
SELECT act_as('none');
SELECT is(mqtt.check_capacity() ->> 'publish_pause', 'More than 1 messages wait to be published.', 'which closes when it is full');
SELECT act_as('authenticated', :'alice');
SELECT throws_like(format($$SELECT api.mqtt_publish(%L, '[{"topic": "a", "payload": 1}]')$$, :'external'), '%"queue_paused"%', 'then it refuses');
SELECT throws_like(
    format($$SELECT api.replay_mqtt_messages(%L, '#', now() - interval '10 days', now() + interval '1 day', to_topic => 'org_alice/again')$$, :'hosted'), '%"queue_paused"%', 'and so does a replay of the history'
);
SELECT act_as('none');
INSERT INTO mqtt.bridges (id, name, version, main_pid) VALUES ('aaaaaaaa-0000-4000-8000-000000000001', 'host:1', '1', 1);
INSERT INTO mqtt.bridge_leases (organization_id, integration_id, bridge_id) VALUES (:'org_alice', :'hosted', 'aaaaaaaa-0000-4000-8000-000000000001');
SELECT act_as('mqtt_bridge');
SELECT is(
    bridge.check_capacity('aaaaaaaa-0000-4000-8000-000000000001') -> 'paused', jsonb_build_object(:'hosted', 'More than 1 messages wait to be processed.'),
    'a bridge hears which brokers to leave unread'
);
SELECT is(bridge.check_capacity('aaaaaaaa-0000-4000-8000-000000000002') -> 'paused', '{}', 'of those that it holds');
SELECT act_as('none');
DELETE FROM pgmq.q_mqtt_outbound;
UPDATE mqtt.configuration SET max_queued = 4;
SELECT is(mqtt.check_capacity() ->> 'ingest_pause', 'More than 4 messages wait to be processed.', 'and it stays closed until a tenth is free');
UPDATE mqtt.configuration SET max_queued = 5;
UPDATE mqtt.organizations SET max_queued = 3 WHERE id = :'org_alice';
SELECT is(mqtt.check_capacity() - 'free_disk_bytes', '{"queued": 4, "ingest_pause": null, "publish_pause": null, "organizations_stopped": 1}', 'an organization has its own limit');
SELECT results_eq('SELECT id FROM mqtt.organizations WHERE ingest_pause IS NOT NULL', ARRAY[:'org_alice'::uuid], 'that stops it alone');
SELECT act_as('mqtt_bridge');
SELECT is(
    bridge.check_capacity('aaaaaaaa-0000-4000-8000-000000000001') -> 'paused', jsonb_build_object(:'hosted', 'More than 3 messages of the organization wait to be processed.'),
    'and leaves its broker unread'
);
SELECT ok(bridge.run_periodic_tasks() ? 'ledger_differences', 'the house is kept by the bridge');
SELECT ok(bridge.apply_retention() ? 'more', 'retention as well');
SELECT act_as('none');
SELECT isnt(mqtt.run_maintenance() ->> 'partitions_made', NULL, 'maintenance does all of it');
CREATE FUNCTION tap.refuse() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'refused';
END;
$$;
CREATE TRIGGER refuse BEFORE UPDATE ON mqtt.mqtt_credentials FOR EACH STATEMENT EXECUTE FUNCTION refuse();
SELECT is(mqtt.run_periodic_tasks() ->> 'credentials_failed', 'refused', 'a step that fails says why');
SELECT ok(mqtt.run_periodic_tasks() ?& '{clock_repaired,ledger,partitions_made,topics_removed}', 'and keeps none of the others from being done');
DROP TRIGGER refuse ON mqtt.mqtt_credentials;
DELETE FROM mqtt.maintenance_failures;

UPDATE mqtt.organizations SET max_queued = NULL, ingest_pause = NULL;

-- What all share is not one organization's to fill: it has as much as stays free.
UPDATE mqtt.configuration SET max_queued = 10, min_free_bytes = 0;
SELECT mqtt.count_accepted(:'org_alice', 2), mqtt.count_accepted(:'org_bob', 1);
SELECT is(
    mqtt.check_capacity() - 'free_disk_bytes', '{"queued": 7, "ingest_pause": null, "publish_pause": null, "organizations_stopped": 1}', 'of 10 one has 6 waiting, one 1'
);
SELECT results_eq('SELECT id FROM mqtt.organizations WHERE ingest_pause IS NOT NULL', ARRAY[:'org_alice'::uuid], 'the one is stopped, the other is not');
UPDATE mqtt.configuration SET max_queued = 20;
SELECT is(mqtt.check_capacity() ->> 'organizations_stopped', '0', 'while most is free, nobody is');
SELECT act_as('authenticated', :'alice');
SELECT api.mqtt_publish(:'external', '[{"topic": "a", "payload": 1}, {"topic": "b", "payload": 1}]') \g /dev/null
SELECT act_as('none');
SELECT mqtt.check_organization_publishing(1, '{}');
SELECT act_as('authenticated', :'alice');
SELECT throws_like(format($$SELECT api.mqtt_publish(%L, '[{"topic": "a", "payload": 1}]')$$, :'external'), '%"queue_paused"%', 'likewise what waits to be published');
SELECT act_as('none');
SELECT mqtt.check_organization_publishing(NULL, '{}');
SELECT is_empty('SELECT id FROM mqtt.organizations WHERE publish_pause IS NOT NULL', 'until there is room');
INSERT INTO mqtt.mqtt_messages (received_at, created_at, position, organization_id, integration_id, direction, topic, payload)
SELECT now(), now(), 900000 + n, v.organization, v.integration, 'incoming', 'org/x', v.payload
FROM (VALUES (:'org_alice'::uuid, :'hosted'::uuid, to_jsonb(md5('a')), 200), (:'org_bob', :'bob_hosted', '1', 3)) AS v (organization, integration, payload, messages)
CROSS JOIN LATERAL generate_series(1, v.messages) AS n;
SELECT is(mqtt.largest_writers(), ARRAY[:'org_alice'::uuid], 'who fills the disk');
INSERT INTO pgmq.q_mqtt_outbound (vt, message, organization_id, integration_id)
SELECT now() + interval '1 year', jsonb_build_object('topic', 'a', 'payload', repeat(md5(n::text), 100)), :'org_bob', :'bob_external' FROM generate_series(1, 500) AS n;
SELECT is(mqtt.largest_writers(), ARRAY[:'org_bob'::uuid], 'also with messages to be published in a year');
DELETE FROM pgmq.q_mqtt_outbound AS q WHERE q.organization_id = :'org_bob';
INSERT INTO mqtt.mqtt_messages (received_at, created_at, position, organization_id, integration_id, direction, topic, payload)
SELECT now(), now(), 910000 + n, :'org_bob', :'bob_external', 'outgoing', 'a', to_jsonb(repeat(md5(n::text), 100)) FROM generate_series(1, 500) AS n;
SELECT is(mqtt.largest_writers(), ARRAY[:'org_bob'::uuid], 'or with messages that were published');
DELETE FROM mqtt.mqtt_messages WHERE position > 910000;
UPDATE mqtt.configuration SET min_free_bytes = coalesce(mqtt.free_disk_bytes() * 2 / 3, 0);
SELECT is(mqtt.check_capacity() ->> 'ingest_pause', NULL, 'while there is still room');
SELECT results_eq(
    'SELECT id, ingest_pause = publish_pause FROM mqtt.organizations WHERE ingest_pause IS NOT NULL',
    format('SELECT %L::uuid, true WHERE mqtt.free_disk_bytes() IS NOT NULL', :'org_alice'), 'is stopped before everyone is'
);
UPDATE mqtt.configuration SET min_free_bytes = 0;
SELECT mqtt.check_capacity() IS NOT NULL AS done \gset
UPDATE mqtt.configuration SET max_queued = DEFAULT, min_free_bytes = DEFAULT;
DELETE FROM pgmq.q_mqtt_outbound;
DELETE FROM mqtt.mqtt_messages WHERE position > 900000;
DELETE FROM mqtt.ledger WHERE organization_id = :'org_bob';

-- Credentials whose end has come.
SELECT is(mqtt.log_expired_credentials(), 0::bigint, 'no credential has expired');
UPDATE mqtt.mqtt_credentials SET expires_at = now() + CASE id WHEN :'pump_login' THEN interval '0' ELSE interval '1 hour' END;
SELECT is(mqtt.run_maintenance() ->> 'credentials_expired', '1', 'maintenance tells of one that has');
SELECT results_eq(
    $$SELECT organization_id, integration_id, details FROM mqtt.integration_activity_log WHERE activity_type = 'credential_expired'$$,
    format(
        $$VALUES (%L::uuid, %L::uuid, jsonb_build_object('credential_id', %L, 'username', 'pump_login', 'expires_at', now()))$$,
        :'org_alice', :'hosted', :'pump_login'
    ), 'in the activity log'
);
SELECT is(mqtt.log_expired_credentials(), 0::bigint, 'once');
UPDATE mqtt.mqtt_credentials SET expires_at = now(), revoked_at = now() WHERE id = :'bob_login';
SELECT is(mqtt.log_expired_credentials(), 0::bigint, 'of a revoked one no more is told');

-- What maintenance watches.
SELECT is(mqtt.check_health() -> 'ledger_differences', '1', 'hours that do not add up are counted');
SELECT is((mqtt.check_health() -> 'ledger' ->> 'completed')::integer, 3, 'with the sums of the books');
SELECT is(mqtt.check_health() -> 'vacuum_held_by', NULL, 'nothing holds back vacuum');
SELECT act_as('service_role');
SELECT is_empty('SELECT * FROM api.get_vacuum_holders()', 'the API says so too');
SELECT act_as('none');

-- Replay.
SELECT act_as('authenticated', :'alice');
SELECT is(api.replay_mqtt_dead_letters(:'org_alice', 'org_alice/dead/+', dry_run => true) ->> 'matched', '2', 'a dry run tells');
SELECT is(api.replay_mqtt_dead_letters(:'org_alice', ids => '{}') ->> 'matched', '0', 'no ids, no messages');
SELECT is(api.replay_mqtt_dead_letters(:'org_alice', error => 'bang') ->> 'matched', '0', 'by error');
SELECT is(
    api.replay_mqtt_dead_letters(:'org_alice', topic => 'org_alice/dead/8', patch => '{"payload": {"mended": true}}', max_per_second => 1) ->> 'replayed', '1',
    'a dead letter goes back to the queue, mended'
);
SELECT is(api.replay_mqtt_dead_letters(:'org_alice', topic => 'org_alice/dead/8') ->> 'replayed', '0', 'once');
SELECT refuses(format('SELECT api.replay_mqtt_dead_letters(%L, topic => ''a#'')', :'org_alice'), 'PT400', 'replay_invalid', 'no topic filter');
SELECT refuses(format('SELECT api.replay_mqtt_dead_letters(%L)', :'org_bob'), 'PT404', 'organization_not_found', 'another organization''s dead letters');
SELECT act_as('authenticated', :'anna');
SELECT refuses(format('SELECT api.replay_mqtt_dead_letters(%L)', :'org_alice'), 'PT403', 'admin_required', 'a member is no admin');
SELECT refuses(format('SELECT api.replay_mqtt_messages(%L, ''#'', now())', :'hosted'), 'PT403', 'admin_required', 'nor for the history');
SELECT act_as('none');
SELECT is(
    (SELECT message -> 'payload' FROM pgmq.q_mqtt_messages WHERE message -> 'properties' ? 'replay_of'), '{"mended": true}', 'it carries the id it had'
);
SELECT * FROM finish();
ROLLBACK;
