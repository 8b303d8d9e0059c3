-- Deploy topicbase:process_batch to pg
-- requires: queue_message
-- requires: ledger
-- requires: decode_payload
-- requires: integration_activity_log
-- requires: mqtt_dead_letters
-- requires: due_messages
-- requires: queue_callbacks
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE FUNCTION mqtt.store_messages(tids tid []) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
-- A plan made while the tables were small would go on reading them whole, dead rows and all, instead of by address and key.
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_stored integer;
BEGIN
    -- PL/pgSQL, since it keeps the plan: making it takes longer than storing a small batch.
    WITH taken AS MATERIALIZED (
        DELETE FROM pgmq.q_mqtt_messages AS q
        WHERE q.ctid = ANY (tids)
        RETURNING
            q.msg_id, q.enqueued_at, q.organization_id, q.integration_id, q.credential_id, q.message_id, q.message, q.body,
            q.message ->> 'topic' AS topic, (q.message ->> 'timestamp')::timestamptz AS sent_at
    ),
    -- Looked up once for each, not for each message.
    integration AS MATERIALIZED (
        SELECT i.id, i.topic_like, i.device_level, i.settings ->> 'content_type' AS content_type
        FROM mqtt.device_integrations AS i
        WHERE i.id IN (SELECT t.integration_id FROM taken AS t)
    ),
    decoded AS MATERIALIZED (
        SELECT
            t.*,
            d.decoded,
            CASE
                WHEN t.topic LIKE i.topic_like AND octet_length(split_part(t.topic, '/', i.device_level)) BETWEEN 1 AND 255
                    THEN split_part(t.topic, '/', i.device_level)
            END AS external_id,
            CASE WHEN t.sent_at < t.enqueued_at + interval '1 day' THEN t.sent_at ELSE t.enqueued_at END AS measured_at
        FROM taken AS t
        LEFT JOIN integration AS i ON i.id = t.integration_id
        CROSS JOIN LATERAL (
            SELECT CASE
                WHEN t.body IS NULL THEN ROW(coalesce(t.message -> 'payload', 'null'), NULL, NULL)::mqtt.decoded_payload
                ELSE mqtt.decode_payload(coalesce(t.message ->> 'content_type', i.content_type), t.body)
            END AS decoded
        ) AS d
    ),
    -- In the order of the key, so that two workers cannot lock each other out.
    seen AS (
        INSERT INTO mqtt.devices AS d (organization_id, integration_id, external_id, last_data, last_data_at, last_seen_at)
        SELECT DISTINCT ON (x.organization_id, x.integration_id, x.external_id)
            x.organization_id, x.integration_id, x.external_id, CASE WHEN (x.decoded).body IS NULL THEN (x.decoded).payload END, x.measured_at,
            max(x.enqueued_at) OVER (PARTITION BY x.organization_id, x.integration_id, x.external_id)
        FROM decoded AS x
        WHERE x.external_id IS NOT NULL
        ORDER BY x.organization_id, x.integration_id, x.external_id, (x.decoded).body IS NULL DESC, x.measured_at DESC, x.msg_id DESC
        ON CONFLICT (organization_id, integration_id, external_id) DO UPDATE SET
            last_data = CASE
                WHEN excluded.last_data_at >= coalesce(d.last_data_at, '-infinity') THEN coalesce(excluded.last_data, d.last_data)
                ELSE d.last_data
            END,
            last_data_at = greatest(d.last_data_at, excluded.last_data_at),
            last_seen_at = greatest(d.last_seen_at, excluded.last_seen_at)
        RETURNING d.id, d.integration_id, d.external_id
    ),
    stored AS (
        INSERT INTO mqtt.mqtt_messages (
            organization_id, id, integration_id, device_id, received_at, sent_at, direction, qos, retain, topic, payload, content_type,
            body, decode_error, properties
        )
        SELECT
            x.organization_id, coalesce(x.message_id, mqtt.message_id(x.enqueued_at, x.msg_id)), x.integration_id, s.id, x.enqueued_at,
            x.sent_at, 'incoming', coalesce((x.message ->> 'qos')::smallint, 0), coalesce((x.message ->> 'retain')::boolean, false), x.topic,
            (x.decoded).payload, x.message ->> 'content_type', (x.decoded).body, (x.decoded).decode_error, x.message -> 'properties'
        FROM decoded AS x
        LEFT JOIN seen AS s ON s.integration_id = x.integration_id AND s.external_id = x.external_id
        -- As they came, so that index pages fill up instead of being split in the middle.
        ORDER BY x.msg_id
        RETURNING organization_id, integration_id
    ),
    used AS (
        UPDATE mqtt.mqtt_credentials AS c
        SET connection_count = c.connection_count + u.uses, last_connected_at = greatest(c.last_connected_at, u.last_at)
        FROM (
            SELECT t.credential_id, count(*) AS uses, max(t.enqueued_at) AS last_at
            FROM taken AS t
            WHERE t.credential_id IS NOT NULL
            GROUP BY t.credential_id
        ) AS u
        WHERE c.id = u.credential_id
        RETURNING c.organization_id, c.integration_id, c.id, c.username, c.connection_count = u.uses AS is_first
    ),
    counted AS (
        INSERT INTO mqtt.ledger AS l (organization_id, bucket, shard, completed)
        SELECT t.organization_id, date_trunc('minute', t.enqueued_at), -1, count(*)
        FROM taken AS t
        GROUP BY t.organization_id, date_trunc('minute', t.enqueued_at)
        ORDER BY t.organization_id, date_trunc('minute', t.enqueued_at)
        ON CONFLICT (organization_id, bucket, shard) DO UPDATE SET completed = l.completed + excluded.completed
    ),
    logged AS (
        INSERT INTO mqtt.integration_activity_log (organization_id, integration_id, direction, message_count, activity_type, status, details)
        SELECT s.organization_id, s.integration_id, 'incoming'::mqtt.message_direction, count(*), 'messages_processed', 'success', NULL::jsonb
        FROM stored AS s
        GROUP BY s.organization_id, s.integration_id
        UNION ALL
        SELECT
            u.organization_id, u.integration_id, NULL, 0, 'credential_first_used', 'success',
            jsonb_build_object('credential_id', u.id, 'username', u.username, 'via', 'http')
        FROM used AS u
        WHERE u.is_first
    )
    SELECT count(*)::integer INTO v_stored FROM stored;
    RETURN v_stored;
END;
$$;
COMMENT ON FUNCTION mqtt.store_messages(tid []) IS
'Moves queued messages, by row address, into the history in one statement, with all their effects: devices (newest data wins), credential statistics, activity log. Returns how many; raises when one of them cannot be stored.';

CREATE FUNCTION mqtt.retry_delay(attempts integer) RETURNS interval
LANGUAGE sql VOLATILE SECURITY INVOKER
BEGIN ATOMIC
    SELECT least(c.retry_cap, c.retry_base * power(2, least(attempts, 30) - 1)) * (0.75 + random() / 2)
    FROM mqtt.configuration AS c;
END;
COMMENT ON FUNCTION mqtt.retry_delay(integer) IS
'Wait after so many failed attempts: retry_base, doubled with each, at most retry_cap, spread by plus or minus a quarter.';

CREATE FUNCTION mqtt.record_failure(failed tid, code text, error text, is_counted boolean DEFAULT false) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- As in mqtt.store_messages: rows by address and key, however the tables stood when the plan was made.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_row pgmq.q_mqtt_messages;
    v_message_id uuid;
    v_limit integer;
BEGIN
    UPDATE pgmq.q_mqtt_messages AS q
    SET attempts = q.attempts + (NOT is_counted)::integer,
        vt = clock_timestamp() + mqtt.retry_delay(q.attempts + (NOT is_counted)::integer),
        errors = coalesce(CASE WHEN is_counted THEN q.errors - (-1) ELSE q.errors END, '[]') || jsonb_build_object('at', clock_timestamp(), 'code', code, 'error', left(error, 500))
    WHERE q.ctid = failed
    RETURNING q.* INTO v_row;
    IF NOT found THEN
        RETURN 'gone';
    END IF;
    SELECT coalesce((i.settings ->> 'max_attempts')::integer, c.max_attempts) INTO v_limit
    FROM mqtt.configuration AS c
    LEFT JOIN mqtt.device_integrations AS i ON i.id = v_row.integration_id;
    v_message_id := coalesce(v_row.message_id, mqtt.message_id(v_row.enqueued_at, v_row.msg_id));
    IF v_row.attempts >= v_limit THEN
        DELETE FROM pgmq.q_mqtt_messages AS q WHERE q.msg_id = v_row.msg_id;
        INSERT INTO mqtt.mqtt_dead_letters (
            received_at, organization_id, id, integration_id, credential_id, direction, attempts, topic, message, body, error_message, errors
        ) VALUES (
            v_row.enqueued_at, v_row.organization_id, v_message_id, v_row.integration_id, v_row.credential_id, 'incoming', v_row.attempts,
            v_row.message ->> 'topic', v_row.message, v_row.body, left(error, 500), v_row.errors
        );
        PERFORM mqtt.count_dead(v_row.organization_id, v_row.enqueued_at);
    END IF;
    PERFORM mqtt.log_activity(
        v_row.organization_id, v_row.integration_id, CASE WHEN v_row.attempts >= v_limit THEN 'message_dead' ELSE 'message_failed' END,
        'failed', jsonb_build_object('message_id', v_message_id, 'attempts', v_row.attempts, 'code', code), left(error, 500)
    );
    RETURN CASE WHEN v_row.attempts >= v_limit THEN 'dead' ELSE 'failed' END;
END;
$$;
COMMENT ON FUNCTION mqtt.record_failure(tid, text, text, boolean) IS
'Counts a failed attempt (unless it is counted already: then the error replaces the last one): the message waits for its next one (failed) or becomes a dead letter (dead).';

CREATE FUNCTION mqtt.store_or_split(tids tid []) RETURNS integer []
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_half integer := cardinality(tids) / 2;
    v_left integer [];
    v_right integer [];
BEGIN
    PERFORM mqtt.queue_callbacks(tids);
    RETURN ARRAY[mqtt.store_messages(tids), 0, 0];
EXCEPTION
    -- Not the messages' fault: the whole batch is tried again later.
    WHEN lock_not_available OR serialization_failure OR deadlock_detected OR insufficient_resources OR operator_intervention
        OR system_error OR insufficient_privilege OR undefined_function OR undefined_table THEN
        RAISE;
    WHEN OTHERS THEN
        IF v_half = 0 THEN
            RETURN CASE mqtt.record_failure(tids[1], SQLSTATE, SQLERRM)
                WHEN 'failed' THEN ARRAY[0, 1, 0]
                WHEN 'dead' THEN ARRAY[0, 0, 1]
                ELSE ARRAY[0, 0, 0]
            END;
        END IF;
        -- Halving finds one poison message in a thousand with ten tries, and its neighbours go through.
        v_left := mqtt.store_or_split(tids[:v_half]);
        v_right := mqtt.store_or_split(tids[v_half + 1:]);
        RETURN ARRAY[v_left[1] + v_right[1], v_left[2] + v_right[2], v_left[3] + v_right[3]];
END;
$$;
COMMENT ON FUNCTION mqtt.store_or_split(tid []) IS
'Stores a batch; when that raises, its halves, down to the single message at fault. Returns how many were stored, failed and became dead letters.';

CREATE FUNCTION mqtt.process_batch(batch_size integer DEFAULT 1000, announces boolean DEFAULT false) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_tids tid [] := mqtt.due_messages(batch_size);
    v_counts integer [] := '{0,0,0}';
BEGIN
    IF v_tids <> '{}' THEN
        IF announces THEN
            -- Goes out at once, and so before what may end the session.
            RAISE INFO 'batch' USING DETAIL = v_tids::text;
        END IF;
        v_counts := mqtt.store_or_split(v_tids);
    END IF;
    RETURN jsonb_build_object(
        'processed', v_counts[1], 'failed', v_counts[2], 'dead', v_counts[3], 'more', cardinality(v_tids) >= batch_size
    );
END;
$$;
COMMENT ON FUNCTION mqtt.process_batch(integer, boolean) IS
'Processes up to batch_size due messages; any number of workers may call it at once. Returns {"processed", "failed", "dead", "more"}; more: a full batch was taken, call again. With announces, an INFO names the row addresses before they are processed: a caller whose session dies of one knows which to look at (mqtt.begin_attempt).';
COMMIT;
