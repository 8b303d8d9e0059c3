-- The queue worker: what a batch does, attempts, dead letters, fairness, one message by hand, the queue view.
\ir setup.psql
SELECT plan(75);
UPDATE mqtt.configuration SET retry_base = '1 second', retry_cap = '10 seconds';
DELETE FROM mqtt.ledger;

-- A message as mqtt_ingest queues it; returns its msg_id.
CREATE FUNCTION tap.queue(
    organization_id uuid, integration_id uuid, topic text, payload jsonb, extra jsonb DEFAULT '{}', body bytea DEFAULT NULL, age interval DEFAULT '0',
    credential_id uuid DEFAULT NULL
) RETURNS bigint
LANGUAGE sql AS $$
    SELECT mqtt.count_accepted($1, 1);
    INSERT INTO pgmq.q_mqtt_messages (enqueued_at, vt, message, organization_id, integration_id, credential_id, body)
    VALUES (
        now() - age, clock_timestamp() - age, jsonb_strip_nulls(jsonb_build_object('topic', topic, 'payload', payload)) || extra, $1, $2, $8, $6
    )
    RETURNING msg_id;
$$;

-- The straight path.
SELECT act_as('none');
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/devices/pump/telemetry', '{"t": 1}', '{"qos": 1, "retain": true}', NULL, '2 seconds', :'pump_login') AS first \gset
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/devices/pump/telemetry', '{"t": 2}', '{}', NULL, '1 second', :'pump_login') AS second \gset
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/devices/new/status', '"up"') AS third \gset
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/other', '{"no": "device"}') AS fourth \gset
SELECT tap.queue(:'org_bob', :'bob_hosted', 'org_bob/devices/pump/telemetry', '{"t": 9}') AS fifth \gset
SELECT is(mqtt.process_batch(100), '{"dead": 0, "more": false, "failed": 0, "processed": 5}', 'one batch takes all');
SELECT results_eq(
    format(
        $$SELECT d.external_id, m.topic, m.payload, m.qos, m.retain, m.direction::text FROM mqtt.mqtt_messages AS m LEFT JOIN mqtt.devices AS d ON d.id = m.device_id
        WHERE m.organization_id = %L ORDER BY m.received_at, m.topic DESC$$, :'org_alice'
    ),
    $$VALUES ('pump', 'org_alice/devices/pump/telemetry', '{"t": 1}'::jsonb, 1::smallint, true, 'incoming'),
        ('pump', 'org_alice/devices/pump/telemetry', '{"t": 2}', 0::smallint, false, 'incoming'), (NULL, 'org_alice/other', '{"no": "device"}', 0::smallint, false, 'incoming'),
        ('new', 'org_alice/devices/new/status', '"up"', 0::smallint, false, 'incoming')$$,
    'each stands in the history under its device'
);
SELECT is(last_data, '{"t": 2}', 'the newest payload is the device''s last') FROM mqtt.devices WHERE id = :'pump';
SELECT is(last_data, '{"t": 9}', 'the device of the same name in the other organization has its own') FROM mqtt.devices WHERE id = :'bob_pump';
SELECT is(last_data, NULL, 'an unknown device is registered, though its status is not data') FROM mqtt.devices WHERE external_id = 'new';
SELECT results_eq(
    format('SELECT connection_count, last_connected_at FROM mqtt.mqtt_credentials WHERE id = %L', :'pump_login'), $$VALUES (2::bigint, now() - interval '1 second')$$,
    'the credential''s uses are counted'
);
SELECT results_eq(
    $$SELECT organization_id, message_count FROM mqtt.integration_activity_log WHERE activity_type = 'messages_processed' ORDER BY message_count DESC$$,
    format('VALUES (%L::uuid, 4), (%L::uuid, 1)', :'org_alice', :'org_bob'), 'one activity row per integration and batch'
);
SELECT results_eq(
    $$SELECT organization_id, integration_id, message_count, details FROM mqtt.integration_activity_log WHERE activity_type = 'credential_first_used'$$,
    format(
        $$VALUES (%L::uuid, %L::uuid, 0, jsonb_build_object('credential_id', %L, 'username', 'pump_login', 'via', 'http'))$$, :'org_alice', :'hosted', :'pump_login'
    ), 'a credential''s first use is told, once for its messages in a batch'
);
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/other', '{"no": "device"}', '{}', NULL, '1 second', :'pump_login') \g /dev/null
SELECT mqtt.process_batch(100) \g /dev/null
SELECT is(
    (SELECT count(*) FROM mqtt.integration_activity_log WHERE activity_type = 'credential_first_used'), 1::bigint, 'and no later use is'
);
SELECT is_empty('SELECT * FROM mqtt.check_ledger()', 'the ledger adds up');

-- The newest wins by the device's clock, within reason.
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/devices/pump/telemetry', '{"t": "late"}', jsonb_build_object('timestamp', now() - interval '1 hour'));
SELECT mqtt.process_batch(100);
SELECT is(last_data, '{"t": 2}', 'what is stamped earlier does not replace what is newer') FROM mqtt.devices WHERE id = :'pump';
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/devices/pump/telemetry', '{"t": "future"}', '{"timestamp": "2999-01-01T00:00:00Z"}');
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/devices/pump/telemetry', '{"t": 4}');
SELECT mqtt.process_batch(100);
SELECT is(last_data, '{"t": 4}', 'a clock in the far future does not freeze the device') FROM mqtt.devices WHERE id = :'pump';
SELECT is((SELECT count(*) FROM mqtt.mqtt_messages WHERE sent_at = '2999-01-01'), 1::bigint, 'its stamp is kept all the same');
SELECT ok(measured_at = received_at, 'and it counts as measured when it was received') FROM mqtt.mqtt_messages WHERE sent_at = '2999-01-01';
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/devices/pump/telemetry', '{"t": "1970"}', '{"timestamp": "1970-01-01T00:00:00Z"}');
SELECT mqtt.process_batch(100);
SELECT is(last_data, '{"t": "1970"}', 'nor is a clock that was never set taken at its word') FROM mqtt.devices WHERE id = :'pump';
SELECT results_eq(
    $$SELECT measured_at = received_at, message_type, position FROM mqtt.mqtt_messages WHERE sent_at = '1970-01-01'$$,
    $$SELECT true, 'telemetry', max(msg_id) FROM (SELECT last_value FROM pgmq.q_mqtt_messages_msg_id_seq) AS s (msg_id)$$,
    'its row has the message type of its topic and its number in the queue'
);
UPDATE mqtt.configuration SET max_time_behind = '100 years';
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/devices/pump/telemetry', '{"t": "1971"}', '{"timestamp": "1971-01-01T00:00:00Z"}');
SELECT mqtt.process_batch(100);
SELECT ok(measured_at = sent_at, 'how far back is plausible can be set') FROM mqtt.mqtt_messages WHERE sent_at = '1971-01-01';
UPDATE mqtt.configuration SET max_time_behind = DEFAULT;

-- Bytes.
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/b', NULL, v.extra, v.body)
FROM (VALUES
    ('{}'::jsonb, '{"json": 1}'::bytea), ('{}', 'plain text'), ('{}', '\xff00'), ('{}', ''), ('{"content_type": "text/plain; charset=utf-8"}', '5'),
    ('{"content_type": "application/json"}', '{broken'), ('{"content_type": "application/octet-stream"}', '\x01'), ('{"content_type": "image/png"}', '\x02'),
    ('{"content_type": "application/geo+json"}', '[1]'), ('{"content_type": "text/plain"}', '\xfe'), ('{}', '1e100000')
) AS v (extra, body);
SELECT is(mqtt.process_batch(100) ->> 'processed', '11', 'payloads of all kinds are stored');
SELECT results_eq(
    $$SELECT payload, body, decode_error IS NOT NULL FROM mqtt.mqtt_messages WHERE topic = 'org_alice/b' ORDER BY position$$,
    $$VALUES ('{"json": 1}'::jsonb, NULL::bytea, false), ('"plain text"', NULL, false), ('null', '\xff00', false), ('""', NULL, false), ('"5"', NULL, false),
        ('null', '{broken', true), ('null', '\x01', false), ('null', '\x02', false), ('[1]', NULL, false), ('null', '\xfe', true), ('"1e100000"', NULL, false)$$,
    'decoded by content type, or kept byte for byte and flagged'
);

-- A message that cannot be stored.
ALTER TABLE mqtt.history ADD CONSTRAINT no_poison CHECK (payload ->> 'poison' IS NULL);
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/p', CASE WHEN n = 7 THEN '{"poison": 1}'::jsonb ELSE to_jsonb(n) END) FROM generate_series(1, 10) AS n;
SELECT is(mqtt.process_batch(100), '{"dead": 0, "more": false, "failed": 1, "processed": 9}', 'one poison message holds up none of its neighbours');
SELECT is((SELECT sum(message_count) FROM mqtt.integration_activity_log WHERE activity_type = 'messages_processed' AND direction = 'incoming'), 31::bigint, 'nor doubles their effects');
SELECT results_eq(
    $$SELECT status, attempts, max_attempts, next_retry_at BETWEEN clock_timestamp() AND clock_timestamp() + interval '1.25 seconds', error_message LIKE '%no_poison%'
    FROM mqtt.mqtt_message_queue WHERE status NOT IN ('completed', 'failed')$$,
    $$VALUES ('pending', 1::smallint, 3::smallint, true, true)$$, 'it waits, with its error'
);
SELECT is(mqtt.process_batch(100) ->> 'failed', '0', 'not due again yet');
UPDATE pgmq.q_mqtt_messages SET vt = clock_timestamp();
SELECT is(mqtt.process_batch(100) ->> 'failed', '1', 'the second attempt');
SELECT ok(vt - clock_timestamp() BETWEEN '1.4 seconds' AND '2.5 seconds', 'the wait doubles') FROM pgmq.q_mqtt_messages;
UPDATE pgmq.q_mqtt_messages SET vt = clock_timestamp();
SELECT is(mqtt.process_batch(100) ->> 'dead', '1', 'the third is the last');
SELECT results_eq(
    $$SELECT attempts, topic, message -> 'payload', jsonb_array_length(errors), replayed_at FROM mqtt.mqtt_dead_letters$$,
    $$VALUES (3::smallint, 'org_alice/p', '{"poison": 1}'::jsonb, 3, NULL::timestamptz)$$, 'it is a dead letter, with each attempt'
);
SELECT is((SELECT count(*) FROM pgmq.q_mqtt_messages), 0::bigint, 'and out of the queue');
SELECT is_empty('SELECT * FROM mqtt.check_ledger()', 'the ledger adds up with dead letters');
SELECT ok(mqtt.retry_delay(n) BETWEEN '0.75 seconds'::interval * least(2 ^ (n - 1), 10) AND '1.25 seconds'::interval * least(2 ^ (n - 1), 10), 'wait after attempt ' || n)
FROM unnest(ARRAY[1, 3, 9, 1000]) AS n;
UPDATE mqtt.device_integrations SET settings = settings || '{"max_attempts": 1}' WHERE id = :'hosted';
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/p', '{"poison": 2}');
SELECT is(mqtt.process_batch(100) ->> 'dead', '1', 'an integration may allow fewer attempts');
UPDATE mqtt.device_integrations SET settings = settings - 'max_attempts' WHERE id = :'hosted';

-- Attempts that end with their session.
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/c', '1') AS attempted \gset
SELECT is(mqtt.begin_attempt(now() - interval '1 hour'), NULL, 'what came after the crash is not suspected');
SELECT is(mqtt.begin_attempt(now()), :attempted::bigint, 'an attempt begins');
SELECT results_eq('SELECT attempts, vt > now() + interval ''59 seconds'' FROM pgmq.q_mqtt_messages', $$VALUES (1::smallint, true)$$, 'is counted first and hides the message');
SELECT is(mqtt.finish_attempt(:attempted), 'processed', 'and is finished');
SELECT is(mqtt.finish_attempt(:attempted), 'gone', 'once');
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/c', '{"poison": 3}') AS attempted \gset
SELECT is(mqtt.begin_attempt(now()), :attempted::bigint, 'a poison one begins');
SELECT is(mqtt.finish_attempt(:attempted), 'failed', 'fails');
SELECT results_eq('SELECT attempts, jsonb_array_length(errors) FROM pgmq.q_mqtt_messages', $$VALUES (1::smallint, 1)$$, 'and counts once');
UPDATE pgmq.q_mqtt_messages SET vt = now(), attempts = 3;
SELECT is(mqtt.begin_attempt(now()), NULL, 'what used up its attempts is not tried again');
SELECT is((SELECT count(*) FROM mqtt.mqtt_dead_letters WHERE topic = 'org_alice/c'), 1::bigint, 'it is a dead letter');
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/c', '4') \g /dev/null
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/c', '5') AS attempted \gset
SELECT is(bridge.suspects(ARRAY(SELECT ctid FROM pgmq.q_mqtt_messages WHERE msg_id = :attempted)), ARRAY[:attempted::bigint], 'a batch that was named is known');
SELECT is(mqtt.begin_attempt(now(), '{}'), NULL, 'where nobody is suspected, nobody is tried');
SELECT is(mqtt.begin_attempt(now(), ARRAY[:attempted]), :attempted::bigint, 'else those who are, though others are older');
DELETE FROM pgmq.q_mqtt_messages;

-- What is queued with a time long past is found by the next sweep; here at once.
SELECT set_config('topicbase.queue_memory', '', false) \g /dev/null
-- Fairness: an organization with much waiting does not keep another waiting.
SELECT count(tap.queue(:'org_alice', :'hosted', 'org_alice/f', to_jsonb(n), '{}', NULL, '1 minute')) FROM generate_series(1, 300) AS n \g /dev/null
SELECT tap.queue(:'org_bob', :'bob_hosted', 'org_bob/f', '1');
SELECT is(mqtt.process_batch(100), '{"dead": 0, "more": true, "failed": 0, "processed": 100}', 'a full batch says that there is more');
SELECT is((SELECT count(*) FROM mqtt.mqtt_messages WHERE topic = 'org_bob/f'), 1::bigint, 'the other''s single message was in it');
SELECT is((SELECT array_agg(payload::integer ORDER BY payload::integer) FROM mqtt.mqtt_messages WHERE topic = 'org_alice/f'), ARRAY(SELECT generate_series(1, 99)), 'the oldest go first');
-- The worker remembers now where the first one's messages go on, and has not heard of the second one's newest.
SELECT tap.queue(:'org_bob', :'bob_hosted', 'org_bob/f', '2') \g /dev/null
SELECT sum((mqtt.process_batch(50) ->> 'processed')::integer) FROM generate_series(1, 2) \g /dev/null
SELECT is((SELECT count(*) FROM mqtt.mqtt_messages WHERE topic = 'org_bob/f'), 2::bigint, 'nor by more than two batches while a worker is busy with the first');
SELECT ok((SELECT count(*) > 0 FROM pgmq.q_mqtt_messages), 'though much waits still');
DELETE FROM pgmq.q_mqtt_messages;

-- Many organizations with little waiting: more than 64 share a batch then, and more than are remembered have their turn all the same.
INSERT INTO mqtt.organizations (name, slug) SELECT 'many', 'many-' || n FROM generate_series(1, 1200) AS n;
INSERT INTO mqtt.device_integrations (organization_id, name, integration_type, settings)
SELECT o.id, 'many', 'mqtt_hosted', '{}' FROM mqtt.organizations AS o WHERE o.name = 'many';
SELECT count(tap.queue(i.organization_id, i.id, 'org_' || n || '/many', to_jsonb(n)))
FROM (SELECT row_number() OVER (ORDER BY i.organization_id) AS place, i.* FROM mqtt.device_integrations AS i WHERE i.name = 'many') AS i
CROSS JOIN generate_series(1, 2) AS n
WHERE i.place % 8 = 0 \g /dev/null
SELECT is(mqtt.process_batch(200) ->> 'processed', '200', 'organizations with little waiting fill a batch together');
-- On a busy machine, a batch may take so long that the next one would be worked off in turns, and left in part.
SELECT set_config('topicbase.batch_was_slow', '', false), set_config('topicbase.organization_costs', '', false) \g /dev/null
SELECT is(mqtt.process_batch(200) ->> 'processed', '100', 'those that were left come next');
SELECT results_eq(
    $$SELECT count(*), bool_and(x.in_order) FROM (
        SELECT array_agg(m.payload::integer ORDER BY m.position) = '{1,2}' AS in_order FROM mqtt.mqtt_messages AS m WHERE m.topic LIKE '%/many' GROUP BY m.organization_id
    ) AS x$$,
    'VALUES (150::bigint, true)', 'each has its own, in order'
);
SELECT count(tap.queue(i.organization_id, i.id, 'org_x/many', '3')) FROM mqtt.device_integrations AS i WHERE i.name = 'many' \g /dev/null
SELECT set_config('topicbase.queue_memory', '', false) \g /dev/null
SELECT count(tap.queue(:'org_alice', :'hosted', 'org_alice/m', to_jsonb(n))) FROM generate_series(1, 600) AS n \g /dev/null
SELECT sum((mqtt.process_batch(1000) ->> 'processed')::integer)
FROM generate_series(1, 12)
WHERE set_config('topicbase.batch_was_slow', '', false) || set_config('topicbase.organization_costs', '', false) = '' \g /dev/null
SELECT is_empty('SELECT FROM pgmq.q_mqtt_messages', 'when those remembered are served, the others are looked for at once');

-- What comes to light late, behind a busy worker's mark, as when its transaction took a second.
SELECT count(tap.queue(:'org_alice', :'hosted', 'org_alice/g', to_jsonb(n))) FROM generate_series(1, 20) AS n \g /dev/null
SELECT is(mqtt.process_batch(20) ->> 'processed', '20', 'a full batch');
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/late', '1', '{}', NULL, '1 second') \g /dev/null
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/g', '21') \g /dev/null
SELECT is(mqtt.process_batch(20) ->> 'processed', '1', 'the next batch does not read the dead rows of the last second again');
SELECT set_config(
    'topicbase.queue_memory',
    jsonb_set(current_setting('topicbase.queue_memory')::jsonb, '{looked_back_at}', to_jsonb(clock_timestamp() - interval '1.1 seconds'))::text, false
) \g /dev/null
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/g', '22') \g /dev/null
SELECT is(mqtt.process_batch(20) ->> 'processed', '2', 'but once a second one does, and finds it');

-- A clock that was set forward during a sweep, and back later, makes neither a long sweep nor the marks of that time credible for long.
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/g', '23', '{}', NULL, '1 minute') \g /dev/null
SELECT set_config(
    'topicbase.queue_memory',
    jsonb_build_object(
        'swept_at', clock_timestamp() - interval '2 minutes', 'sweep_took', interval '3 hours', 'looked_back_at', clock_timestamp() + interval '1 hour',
        'seen', 1::bigint << 60, 'marks', jsonb_build_object(:'org_alice', clock_timestamp() + interval '1 hour')
    )::text, false
) \g /dev/null
SELECT is(mqtt.process_batch(20) ->> 'processed', '1', 'what waits is found all the same');

-- What waits for another attempt, or for a time that a replay chose, does not keep what comes after it waiting.
SELECT set_config('topicbase.queue_memory', jsonb_build_object('looked_back_at', clock_timestamp())::text, false) \g /dev/null
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/later', '1', '{}', NULL, '-1 day') \g /dev/null
SELECT is(mqtt.process_batch(20) ->> 'processed', '0', 'nothing is due');
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/now', '1') \g /dev/null
SELECT is(mqtt.process_batch(20) ->> 'processed', '1', 'what came after a look at everything is found at once');
SELECT tap.queue(:'org_bob', :'bob_hosted', 'org_bob/later', '1', '{}', NULL, '-1 day') \g /dev/null
SELECT is(mqtt.process_batch(20) ->> 'processed', '0', 'nothing is due');
SELECT tap.queue(:'org_bob', :'bob_hosted', 'org_bob/now', '1') \g /dev/null
SELECT is(mqtt.process_batch(20) ->> 'processed', '1', 'as is what came after a look at the newest');

-- One by hand.
SELECT tap.queue(:'org_alice', :'hosted', 'org_alice/h', '1') AS byhand \gset
SELECT mqtt.message_id(now(), :byhand) AS byhand_id \gset
SELECT act_as('service_role');
SELECT is(api.process_mqtt_queue_message(:'byhand_id') ->> 'status', 'completed', 'one message is processed by its id');
SELECT is(api.process_mqtt_queue_message(:'byhand_id') ->> 'status', 'completed', 'and is known afterwards');
SELECT refuses(format('SELECT api.process_mqtt_queue_message(%L)', :'unknown'), 'PT404', 'message_not_found', 'an unknown id');
SELECT is(api.process_mqtt_queue_message(p_message_id => :'byhand_id') ->> 'status', 'completed', 'p_message_id is another name for message_id');
SELECT is(api.process_mqtt_queue_message(:'byhand_id', :'byhand_id') ->> 'status', 'completed', 'both may be given, if they agree');
SELECT refuses(
    format('SELECT api.process_mqtt_queue_message(%L, %L)', :'byhand_id', :'unknown'), 'PT400', 'argument_conflict', 'two messages', 'message_id and p_message_id %'
);
SELECT refuses('SELECT api.process_mqtt_queue_message()', 'PT400', 'argument_missing', 'no id');
SELECT refuses('SELECT api.process_mqtt_queue(0)', 'PT400', 'batch_size_invalid', 'a batch of nothing');

-- Who sees what.
SELECT act_as('authenticated', :'bob');
SELECT is((SELECT count(*) FROM api.mqtt_message_queue WHERE organization_id <> :'org_bob'), 0::bigint, 'a member sees no other organization''s queue');
SELECT throws_like('SELECT api.process_mqtt_queue(1)', 'permission denied%', 'a member does not run the worker');
SELECT throws_like('SELECT * FROM pgmq.q_mqtt_messages', 'permission denied%', 'nor reaches the queue''s table');
SELECT * FROM finish();
ROLLBACK;
