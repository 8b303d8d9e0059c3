-- Deleting messages, devices, logins and organizations: who may, what goes, what is corrected, what stays; row locks alone.
\ir setup.psql
SELECT plan(98);
SET LOCAL timezone = 'UTC';
SELECT date_trunc('hour', now()) - interval '5 hours' AS hour \gset
CREATE FUNCTION tap.measure(age interval, payload jsonb, device text DEFAULT 'pump', organization text DEFAULT 'alice', is_stored boolean DEFAULT true) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mqtt.count_accepted(o.id, 1) FROM mqtt.organizations AS o WHERE o.slug = organization;
    INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id)
    SELECT clock_timestamp(), jsonb_build_object(
            'topic', format('org_%s/devices/%s/telemetry', organization, device), 'payload', $2,
            'timestamp', date_trunc('hour', now()) - interval '5 hours' + age
        ), i.organization_id, i.id
    FROM mqtt.device_integrations AS i
    JOIN mqtt.organizations AS o ON o.id = i.organization_id
    WHERE o.slug = organization AND i.integration_type = 'mqtt_hosted';
    IF is_stored THEN
        PERFORM mqtt.process_batch(100);
    END IF;
END;
$$;
CREATE FUNCTION tap.work(most integer DEFAULT 5000) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    v_steps integer := 0;
BEGIN
    LOOP
        v_steps := v_steps + 1;
        EXIT WHEN NOT (mqtt.work_deletions(most) ->> 'more')::boolean OR v_steps >= 200;
    END LOOP;
    RETURN v_steps;
END;
$$;
CREATE FUNCTION tap.measured(slug text DEFAULT 'alice') RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', d.external_id, m.payload ->> 't'), ', ' ORDER BY d.external_id, m.measured_at)
    FROM mqtt.mqtt_messages AS m
    JOIN mqtt.organizations AS o ON o.id = m.organization_id AND o.slug = measured.slug
    LEFT JOIN mqtt.devices AS d ON d.id = m.device_id;
$$;
CREATE FUNCTION tap.hours(device uuid) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', r.hours, r.n, r.total), ', ' ORDER BY r.hours, r.starts_at)
    FROM mqtt.rollups AS r JOIN mqtt.rollup_series AS s ON s.organization_id = r.organization_id AND s.id = r.series_id
    WHERE s.device_id = device AND s.metric = 't' AND r.hours = 1;
$$;
SELECT tap.measure(m, p, d) FROM (VALUES
    (interval '1 minute', jsonb '{"t": 1, "a": 1}', 'pump'), ('2 minutes', '{"t": 2}', 'pump'), ('61 minutes', '{"t": 3, "b": 3}', 'pump'), ('62 minutes', '{"t": 4}', 'pump'),
    ('3 minutes', '{"t": 5}', 'fan'), ('63 minutes', '{"t": 6}', 'fan')
) AS v (m, p, d) \g /dev/null
SELECT tap.measure('1 minute', '{"t": 7}', 'pump', 'bob') \g /dev/null
SELECT roll_up() \g /dev/null
SELECT is(measured(), 'fan 5, fan 6, pump 1, pump 2, pump 3, pump 4', 'there are messages');
SELECT is(hours(:'pump'), '1 2 3, 1 2 7', 'and rollups');

-- Who may.
SELECT act_as('authenticated', :'anna');
SELECT refuses(format('SELECT api.delete_messages(integration_id => %L)', :'hosted'), 'PT403', 'admin_required', 'a member deletes no messages');
SELECT refuses(format('SELECT api.delete_device(%L)', :'pump'), 'PT403', 'admin_required', 'nor devices');
SELECT refuses(format('SELECT api.delete_mqtt_credentials(integration_id => %L)', :'hosted'), 'PT403', 'admin_required', 'nor logins');
SELECT refuses(format('SELECT api.delete_organization(%L, ''Alice Ltd'')', :'org_alice'), 'PT403', 'admin_required', 'nor the organization');
SELECT throws_ok('DELETE FROM mqtt.deletions', '42501', NULL, 'nor what was booked');
SELECT act_as('authenticated', :'bob');
SELECT refuses(format('SELECT api.delete_messages(integration_id => %L)', :'hosted'), 'PT404', 'integration_not_found', 'a stranger''s integration');
SELECT refuses(format('SELECT api.delete_messages(device_id => %L)', :'pump'), 'PT404', 'device_not_found', 'a stranger''s device');
SELECT refuses(format('SELECT api.delete_messages(organization_id => %L, filter => ''#'')', :'org_alice'), 'PT404', 'organization_not_found', 'a stranger''s organization');
SELECT refuses(format('SELECT api.delete_device(%L, true)', :'pump'), 'PT404', 'device_not_found', 'a stranger''s device');
SELECT refuses(format('SELECT api.delete_organization(%L, ''Alice Ltd'')', :'org_alice'), 'PT404', 'organization_not_found', 'a stranger''s organization');
SELECT refuses(format('SELECT api.delete_mqtt_credentials(%L)', :'pump_login'), 'PT404', 'credential_not_found', 'a stranger''s login');
SELECT act_as('anon');
SELECT throws_ok('SELECT api.delete_messages(filter => ''#'')', '42501', NULL, 'nobody else');
SELECT throws_ok(format('SELECT api.delete_device(%L)', :'pump'), '42501', NULL, 'nor devices');
SELECT throws_ok(format('SELECT api.delete_organization(%L)', :'org_alice'), '42501', NULL, 'nor organizations');
SELECT throws_ok('SELECT api.list_deletions()', '42501', NULL, 'nor sees what is deleted');

-- What may be asked for.
SELECT act_as('authenticated', :'alice');
SELECT refuses('SELECT api.delete_messages()', 'PT400', 'selection_required', 'nothing means nothing');
SELECT refuses('SELECT api.delete_messages(filter => ''a/#/b'')', 'PT400', 'topic_invalid', 'a filter that is none');
SELECT refuses('SELECT api.delete_messages(filter => ''#'', "time" => ''sent'')', 'PT400', 'time_invalid', 'another time');
SELECT refuses('SELECT api.delete_messages(since => ''2026-01-02'', until => ''2026-01-01'')', 'PT400', 'range_invalid', 'a range that ends before it begins');
SELECT refuses(format('SELECT api.get_deletion(%L)', :'unknown'), 'PT404', 'deletion_not_found', 'a deletion that is not there');
SELECT refuses('SELECT api.list_deletions(NULL, 0)', 'PT400', 'limit_invalid', 'a limit');

-- By measured time: queries see it at once, rollups and latest values follow.
SELECT api.delete_messages(device_id => 'pump', since => :'hour'::timestamptz + interval '61 minutes') ->> 'id' AS deletion \gset
SELECT answered('202', 'booked');
SELECT is(measured(), 'fan 5, fan 6, pump 1, pump 2, pump 3, pump 4', 'nothing is gone yet');
SELECT is(api.get_deletion(:'deletion') ->> 'state', 'queued', 'it is queued');
SELECT act_as('authenticated', :'bob');
SELECT refuses(format('SELECT api.get_deletion(%L)', :'deletion'), 'PT404', 'deletion_not_found', 'a stranger''s deletion');
SELECT is_empty('SELECT api.list_deletions()', 'nor is it listed');
SELECT act_as('none');
SELECT ok((SELECT mqtt.latest_of(d) -> 't' ->> 'value' = '4' AND mqtt.latest_of(d) -> 'b' ->> 'value' = '3' AND last_data = '{"t": 4}' FROM mqtt.devices AS d WHERE id = :'pump'), 'the device has them as its latest');
SELECT work() \g /dev/null
SELECT is(measured(), 'fan 5, fan 6, pump 1, pump 2', 'the device''s messages of that time are gone');
SELECT is(measured('bob'), 'pump 7', 'and no one else''s');
SELECT results_eq(
    format('SELECT mqtt.latest_of(d) -> ''t'' ->> ''value'', mqtt.latest_of(d) ? ''b'', mqtt.latest_of(d) -> ''a'' ->> ''value'', last_data, last_data_at FROM mqtt.devices AS d WHERE id = %L', :'pump'),
    format($$VALUES ('2', false, '1', '{"t": 2}'::jsonb, %L::timestamptz)$$, :'hour'::timestamptz + interval '2 minutes'), 'the latest values are those that are left'
);
SELECT roll_up() \g /dev/null
SELECT is(hours(:'pump'), '1 2 3', 'the hour has no rollup any longer');
SELECT act_as('authenticated', :'anna');
SELECT results_eq(
    format('SELECT d ->> ''state'', d -> ''deleted'' ->> ''messages'', d ->> ''rollup_hours_kept'', d ->> ''requested_by'' FROM api.get_deletion(%L) AS d', :'deletion'),
    format($$VALUES ('done', '2', '0', %L)$$, :'alice'), 'a member sees what was done, and who wanted it'
);
SELECT is(api.list_deletions() ->> 'id', :'deletion', 'it is listed');
SELECT act_as('none');
SELECT is_empty('SELECT * FROM mqtt.check_ledger()', 'the ledger adds up');
SELECT is(sum(deleted), 2::numeric, 'and counts them') FROM mqtt.ledger WHERE organization_id = :'org_alice';

-- In bounded steps, with row locks alone, resumed where the last one ended.
SELECT act_as('authenticated', :'alice');
SELECT api.delete_messages(filter => 'org_alice/devices/+/telemetry', "time" => 'received', until => now() + interval '1 day') ->> 'id' AS deletion \gset
SELECT act_as('none');
SELECT is(mqtt.work_deletions(1), '{"more": true, "rows_deleted": 1}', 'a step takes as many as it is told');
SELECT results_eq(
    format('SELECT state, messages FROM mqtt.deletions WHERE id = %L', :'deletion'), $$VALUES ('running', 1::bigint)$$, 'and says how far it is'
);
SELECT is_empty(
    $$SELECT l.relation::regclass, l.mode FROM pg_catalog.pg_locks AS l
        WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
            AND l.relation::regclass::text ~ '^(mqtt\.(history|reading_rows|ledger|devices|mqtt_credentials|topics|organizations|device_integrations|ingest_keys)|pgmq\.)'$$,
    'none of its locks on tables holds up who stores or accepts messages'
);
SELECT cmp_ok(work(1), '>', 3, 'the rest takes more steps');
SELECT is(measured(), NULL, 'by topic and time of receipt');
SELECT ok((SELECT mqtt.latest_of(d) = '{}' AND last_data IS NULL AND last_seen_at IS NOT NULL FROM mqtt.devices AS d WHERE id = :'pump'), 'no latest values are left; when it was last seen is');
SELECT roll_up() \g /dev/null
SELECT is(hours(:'pump'), NULL, 'nor rollups');
SELECT is(measured('bob'), 'pump 7', 'the neighbour has his');

-- One that fails costs the others nothing: it is put back, and tried again after a pause, with fewer rows at once.
SELECT tap.measure('1 minute', '{"t": 8}'), tap.measure('2 minutes', '{"t": 8}', 'fan', 'bob') \g /dev/null
SELECT act_as('authenticated', :'alice');
SELECT api.delete_messages(device_id => 'pump') ->> 'id' AS deletion \gset
SELECT act_as('authenticated', :'bob');
SELECT api.delete_messages(device_id => 'fan') \g /dev/null
SELECT act_as('none');
CREATE FUNCTION tap.refuse() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'refused' USING ERRCODE = TG_ARGV[0];
END;
$$;
SELECT number AS alices_number FROM mqtt.organizations WHERE id = :'org_alice' \gset
CREATE TRIGGER refuse BEFORE DELETE ON mqtt.history FOR EACH ROW WHEN (old.organization = :alices_number) EXECUTE FUNCTION refuse('XX000');
SELECT mqtt.work_deletions() -> 'deletions_failed' AS failed \gset
SELECT is(
    :'failed'::jsonb, jsonb_build_array(jsonb_build_object('subject', format('deletion %s of organization %s', :'deletion', :'org_alice'), 'sqlstate', 'XX000', 'reason', 'refused')),
    'the answer names the one that failed, and why'
);
SELECT act_as('authenticated', :'alice');
SELECT is(api.get_deletion(:'deletion') ->> 'failure', 'refused', 'whoever asked for it sees why');
SELECT ok((api.get_deletion(:'deletion') ->> 'retry_at')::timestamptz > now(), 'and when it is tried again');
SELECT act_as('none');
SELECT work() \g /dev/null
SELECT is(measured('bob'), 'pump 7', 'the neighbour''s is done');
SELECT results_eq(
    format('SELECT state, failures, failure FROM mqtt.deletions WHERE id = %L AND retry_at > clock_timestamp()', :'deletion'),
    $$VALUES ('queued', 1, 'refused')$$, 'it waits for its next turn'
);
UPDATE mqtt.maintenance_failures SET failed_by = NULL;
SELECT is(mqtt.work_deletions(), '{"more": false, "rows_deleted": 0}', 'and is left out until then');
DROP TRIGGER refuse ON mqtt.history;
CREATE TRIGGER refuse BEFORE DELETE ON mqtt.history FOR EACH ROW WHEN (old.organization = :alices_number) EXECUTE FUNCTION refuse('57014');
UPDATE mqtt.deletions SET retry_at = clock_timestamp() WHERE id = :'deletion';
SELECT is(mqtt.work_deletions() #>> '{deletions_failed,0,sqlstate}', '57014', 'a time limit is a failure like others');
SELECT ok(failures = 2 AND retry_at > clock_timestamp() + interval '30 seconds', 'each pause is longer') FROM mqtt.deletions WHERE id = :'deletion';
UPDATE mqtt.maintenance_failures SET failed_by = NULL, failed_at = now() - interval '2 minutes';
UPDATE mqtt.deletions SET retry_at = clock_timestamp() WHERE id = :'deletion';
INSERT INTO mqtt.deletions (organization_id, kind, phase) VALUES (:'org_bob', 'rollups', 'rollups');
SELECT mqtt.work_deletions() \g /dev/null
SELECT is((SELECT string_agg(d.state, ' ') FROM mqtt.deletions AS d WHERE d.kind = 'rollups'), 'queued', 'one that failed is tried again in a call of its own, so that it holds nothing of others');
UPDATE mqtt.maintenance_failures SET failed_by = NULL;
UPDATE mqtt.deletions SET retry_at = clock_timestamp() WHERE id = :'deletion';
SELECT mqtt.work_deletions() \g /dev/null
SELECT is((SELECT string_agg(d.state, ' ') FROM mqtt.deletions AS d WHERE d.kind = 'rollups'), 'done', 'and then it is the others'' turn');
DROP TRIGGER refuse ON mqtt.history;
UPDATE mqtt.deletions SET retry_at = clock_timestamp() WHERE id = :'deletion';
SELECT work() \g /dev/null
SELECT results_eq(format('SELECT state, failure FROM mqtt.deletions WHERE id = %L', :'deletion'), $$VALUES ('done', NULL)$$, 'once it can be done, it is');
SELECT is(measured(), NULL, 'all of it');

-- What was accepted before and is still queued is waited for; what comes later stays.
SELECT measure('1 minute', '{"t": 8}', is_stored => false) \g /dev/null
SELECT act_as('authenticated', :'alice');
SELECT api.delete_messages(device_id => 'pump') ->> 'id' AS deletion \gset
SELECT act_as('none');
SELECT is(mqtt.work_deletions() ->> 'more', 'false', 'it waits');
SELECT is(state, 'waiting', 'and says so') FROM mqtt.deletions WHERE id = :'deletion';
UPDATE mqtt.deletions SET requested_at = clock_timestamp() WHERE id = :'deletion';
SELECT mqtt.process_batch(100) \g /dev/null
SELECT work() \g /dev/null
SELECT is(measured(), NULL, 'then it takes it');
INSERT INTO mqtt.mqtt_messages (organization_id, integration_id, device_id, topic, message_type, payload, received_at, position)
VALUES (:'org_alice', :'hosted', :'pump', 'org_alice/devices/pump/telemetry', 'telemetry', '{"t": 9}', clock_timestamp() + interval '1 second', 1);
SELECT act_as('authenticated', :'alice');
SELECT api.delete_messages(device_id => 'pump', since => '4000-01-01 BC', until => '294276-12-31') \g /dev/null
SELECT act_as('none');
SELECT work() \g /dev/null
SELECT is(measured(), 'pump 9', 'what is received after the call stays');

-- What can no longer be made again: whole hours go, of parts of hours it is said that they stay.
SELECT tap.measure(m, p) FROM (VALUES (interval '1 minute', jsonb '{"t": 1}'), ('61 minutes', '{"t": 2}'), ('62 minutes', '{"t": 3}')) AS v (m, p) \g /dev/null
SELECT roll_up();
UPDATE mqtt.rollup_progress SET raw_since = now() WHERE organization_id = :'org_alice';
SELECT act_as('authenticated', :'alice');
SELECT api.delete_messages(device_id => 'pump', since => :'hour'::timestamptz, until => :'hour'::timestamptz + interval '62 minutes') ->> 'id' AS deletion \gset
SELECT act_as('none');
SELECT work() \g /dev/null
SELECT roll_up() \g /dev/null
SELECT is(hours(:'pump'), '1 2 5', 'the whole hour''s rollup is gone, the other stays');
SELECT is(rollup_hours_kept, 1::bigint, 'and is counted') FROM mqtt.deletions WHERE id = :'deletion';

-- What was sent after the call, and is in the rollups by the time that it is done, stays in them.
SELECT tap.measure('1 minute', '{"t": 1}') \g /dev/null
SELECT roll_up() \g /dev/null
SELECT act_as('authenticated', :'alice');
SELECT api.delete_messages(device_id => 'pump', since => :'hour'::timestamptz, until => :'hour'::timestamptz + interval '1 hour') \g /dev/null
SELECT act_as('none');
SELECT tap.measure('2 minutes', '{"t": 50}', is_stored => false);
UPDATE pgmq.q_mqtt_messages SET enqueued_at = clock_timestamp();
SELECT mqtt.process_batch(100) \g /dev/null
SELECT roll_up() \g /dev/null
SELECT work() \g /dev/null
SELECT roll_up() \g /dev/null
SELECT is(hours(:'pump'), '1 1 50, 1 2 5', 'what is sent after the call stays in the rollups');

-- Topics without messages are removed, but not before a deletion that has emptied them is done.
SELECT tap.measure('1 minute', '{"t": 21}', 'lone') \g /dev/null
SELECT id AS lone FROM mqtt.devices WHERE organization_id = :'org_alice' AND external_id = 'lone' \gset
UPDATE mqtt.topics SET created_at = now() - interval '2 hours';
SELECT act_as('authenticated', :'alice');
SELECT api.delete_messages(filter => 'org_alice/devices/lone/#') \g /dev/null
SELECT act_as('none');
SELECT mqtt.work_deletions() \g /dev/null
SELECT sum(mqtt.remove_unused_topics()) FROM generate_series(1, 5) \g /dev/null
SELECT work() \g /dev/null
SELECT is(mqtt.latest_of(d), '{}', 'the devices that they name have no latest values left') FROM mqtt.devices AS d WHERE d.id = :'lone';
SELECT sum(mqtt.remove_unused_topics()) FROM generate_series(1, 5) \g /dev/null
SELECT is_empty('SELECT FROM mqtt.topics WHERE topic LIKE ''%/lone/%''', 'then they are removed');

-- Nor are rollups and latest values left of a device that retention has left nothing else of.
SELECT tap.measure('1 minute', '{"t": 22}', 'lone') \g /dev/null
SELECT roll_up();
DELETE FROM mqtt.history USING mqtt.topics AS t WHERE t.number = history.topic AND t.device_id = :'lone';
UPDATE mqtt.topics SET created_at = now() - interval '2 hours';
SELECT sum(mqtt.remove_unused_topics()) FROM generate_series(1, 5) \g /dev/null
SELECT is(hours(:'lone'), '1 1 22', 'a device that has rollups alone');
SELECT act_as('authenticated', :'alice');
SELECT api.delete_messages(device_id => 'lone', until => now()) \g /dev/null
SELECT act_as('none');
SELECT work() \g /dev/null
SELECT ok(hours(:'lone') IS NULL AND mqtt.latest_of(d) = '{}' AND d.last_data IS NULL, 'has them deleted') FROM mqtt.devices AS d WHERE d.id = :'lone';
DELETE FROM mqtt.devices WHERE id = :'lone';
SELECT work();

-- What belongs to messages goes with them.
INSERT INTO mqtt.mqtt_subscriptions (organization_id, integration_id, topic, callback_url) VALUES (:'org_alice', :'hosted', 'org_alice/#', 'https://example.com/');
INSERT INTO mqtt.mqtt_messages (organization_id, integration_id, id, direction, topic, payload, received_at)
VALUES (:'org_alice', :'hosted', :'unknown', 'outgoing', 'org_alice/devices/pump/telemetry', '1', now() - interval '1 minute');
INSERT INTO mqtt.mqtt_publish_receipts (queued_at, organization_id, id, integration_id, qos, attempts, state, topic)
VALUES (now() - interval '1 minute', :'org_alice', :'unknown', :'hosted', 0, 1, 'sent', 'org_alice/devices/pump/telemetry');
INSERT INTO mqtt.mqtt_dead_letters (received_at, organization_id, id, integration_id, direction, attempts, topic, error_message)
SELECT now() - interval '1 minute', :'org_alice', gen_random_uuid(), :'hosted', 'incoming', 3, t, 'broken'
FROM unnest('{org_alice/devices/pump/telemetry,org_alice/devices/other/telemetry}'::text []) AS t;
SELECT tap.measure('3 minutes', '{"t": 10}') \g /dev/null
SELECT act_as('authenticated', :'alice');
SELECT api.delete_messages(filter => 'org_alice/devices/pump/#', until => now() + interval '1 day', "time" => 'received') ->> 'id' AS deletion \gset
SELECT act_as('none');
SELECT work() \g /dev/null
SELECT is((api.get_deletion(:'deletion') -> 'deleted') - '{messages,rollups,others,readings}'::text [], '{"dead_letters": 1, "receipts": 1, "callbacks": 1}', 'dead letters, receipts and webhook deliveries');
SELECT is(topic, 'org_alice/devices/other/telemetry', 'and no others') FROM mqtt.mqtt_dead_letters WHERE organization_id = :'org_alice';
SELECT is_empty(format('SELECT FROM mqtt.mqtt_publish_receipts WHERE organization_id = %L', :'org_alice'), 'no receipt is left');

-- A device: gone at once, its logins end, its data follow where told so.
SELECT tap.measure('1 minute', '{"t": 11}', 'fan') \g /dev/null
SELECT tap.measure('1 minute', '{"t": 12}');
UPDATE mqtt.rollup_progress SET raw_since = '-infinity' WHERE organization_id = :'org_alice';
SELECT roll_up() \g /dev/null
SELECT id AS fan FROM mqtt.devices WHERE organization_id = :'org_alice' AND external_id = 'fan' \gset
UPDATE mqtt.mqtt_credentials SET device_id = :'pump' WHERE id = :'pump_login';
SELECT act_as('authenticated', :'alice');
SELECT refuses(format('SELECT api.delete_mqtt_credentials(%L)', :'pump_login'), 'PT409', 'credential_active', 'a login that has not ended');
SELECT refuses('SELECT api.delete_mqtt_credentials()', 'PT400', 'argument_conflict', 'no login');
SELECT api.delete_device('pump', true) ->> 'id' AS deletion \gset
SELECT answered('202', 'booked');
SELECT refuses(format('SELECT api.get_device(%L)', :'pump'), 'PT404', 'device_not_found', 'it is gone at once');
SELECT act_as('none');
SELECT ok(revoked_at IS NOT NULL AND device_id IS NULL, 'its login has ended') FROM mqtt.mqtt_credentials WHERE id = :'pump_login';
SELECT is((SELECT count(*) FROM mqtt.rollup_series WHERE device_id = :'pump') > 0, true, 'its rollups are left to maintenance');
SELECT work(3) \g /dev/null
SELECT is(state, 'done', 'which is done') FROM mqtt.deletions WHERE id = :'deletion';
SELECT is(measured(), 'fan 11', 'its messages are gone');
SELECT is_empty(format('SELECT FROM mqtt.rollup_series WHERE device_id = %L', :'pump'), 'and its rollups');
SELECT is(hours(:'fan'), '1 1 11', 'those of others are not');
SELECT act_as('authenticated', :'alice');
SELECT is(api.delete_mqtt_credentials(integration_id => :'hosted'), '{"deleted": 0, "more": false}', 'brokers are told of ended logins for a week');
SELECT is(api.delete_mqtt_credentials(:'pump_login'), '{"deleted": 1, "more": false}', 'but one may be deleted by its id');
SELECT api.delete_device('fan') \g /dev/null
SELECT act_as('none');
SELECT work() \g /dev/null
SELECT is((SELECT count(*) FROM mqtt.mqtt_messages AS m WHERE m.organization_id = :'org_alice' AND m.device_id = :'fan'), 1::bigint, 'without its data, they stay under its name');
SELECT is_empty(format('SELECT FROM mqtt.rollup_series WHERE organization_id = %L', :'org_alice'), 'its rollups do not');

-- An organization.
SELECT tap.measure('1 minute', '{"t": 13}', is_stored => false) \g /dev/null
SELECT act_as('authenticated', :'alice');
SELECT refuses(format('SELECT api.delete_organization(%L)', :'org_alice'), 'PT400', 'confirmation_invalid', 'not without its name');
SELECT refuses(format('SELECT api.delete_organization(%L, ''alice ltd'')', :'org_alice'), 'PT400', 'confirmation_invalid', 'nor with another');
SELECT api.delete_organization(:'org_alice', 'Alice Ltd') ->> 'id' AS deletion \gset
SELECT is_empty('SELECT FROM mqtt.organizations', 'it has no members any longer');
SELECT is(api.get_deletion(:'deletion') ->> 'subject', 'alice', 'but who deleted it sees how far that is');
SELECT act_as('authenticated', :'anna');
SELECT refuses(format('SELECT api.get_deletion(%L)', :'deletion'), 'PT404', 'deletion_not_found', 'nobody else does');
SELECT act_as('none');
SELECT is_empty(format('SELECT FROM mqtt.broker_integrations WHERE organization_id = %L AND is_on', :'org_alice'), 'its logins have ended at the brokers');
SELECT work(7) \g /dev/null
SELECT is(state, 'done', 'it is done') FROM mqtt.deletions WHERE id = :'deletion';
CREATE FUNCTION tap.left_of(organization_id uuid) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
    v_table regclass;
    v_is_left boolean;
BEGIN
    FOR v_table IN
        SELECT a.attrelid FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
        WHERE a.attname = 'organization_id' AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.oid <> 'mqtt.deletions'::regclass
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE organization_id = $1)', v_table) INTO v_is_left USING organization_id;
        RETURN QUERY SELECT v_table::text WHERE v_is_left;
    END LOOP;
END;
$$;
SELECT is_empty(format('SELECT left_of(%L) UNION ALL SELECT slug FROM mqtt.organizations WHERE id = %1$L', :'org_alice'), 'nothing is left of it');
SELECT refuses($$SELECT api.create_organization('Another', 'alice')$$, 'PT409', 'slug_taken', 'nobody gets its topics, and what brokers still keep of them');
SELECT is_empty(
    'SELECT FROM (SELECT organization FROM mqtt.history UNION SELECT organization FROM mqtt.settlements) AS h
        WHERE NOT EXISTS (SELECT FROM mqtt.organizations AS o WHERE o.number = h.organization)', 'nor in the history'
);
SELECT is(measured('bob'), 'pump 7', 'the neighbour has his');
SELECT is_empty('SELECT * FROM mqtt.check_ledger()', 'the ledger adds up');
SELECT is((SELECT count(*) FROM mqtt.ledger WHERE organization_id = '00000000-0000-0000-0000-000000000000' AND expired = 1), 1::bigint, 'with what was queued as expired');
SELECT * FROM finish();
ROLLBACK;
