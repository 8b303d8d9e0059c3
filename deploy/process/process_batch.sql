-- Deploy topicbase:process/process_batch to pg
-- requires: process/deferred_updates
-- requires: process/due_messages
-- requires: process/enqueue_callbacks
-- requires: process/split_items
-- requires: process/store_messages
-- requires: tables/log_activity
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.retry_delay(attempts integer) RETURNS interval
LANGUAGE sql VOLATILE SECURITY INVOKER
BEGIN ATOMIC
    SELECT least(c.retry_cap, c.retry_base * power(2, least(attempts, 30) - 1)) * (0.75 + random() / 2)
    FROM mqtt.configuration AS c;
END;
COMMENT ON FUNCTION mqtt.retry_delay(integer) IS
'Delay after this many failed attempts: retry_base × 2ⁿ⁻¹, capped at retry_cap, ±25 % jitter.';

CREATE OR REPLACE FUNCTION mqtt.queued_form(item pgmq.q_mqtt_messages) RETURNS pgmq.q_mqtt_messages
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT
        h.id, h.body, mqtt.message_document(
            t.topic, CASE WHEN h.body IS NULL THEN h.payload END, h.flags & 3, h.flags & 4 = 4, h.content_type,
            CASE WHEN h.flags & 32 = 32 THEN h.measured_at ELSE h.sent_at END, h.properties
        )
    INTO item.message_id, item.body, item.message
    FROM mqtt.history AS h
    JOIN mqtt.topics AS t ON t.number = h.topic
    WHERE h.received_at = item.enqueued_at AND h.organization = item.organization AND h.position = item.msg_id;
    RETURN item;
END;
$$;
COMMENT ON FUNCTION mqtt.queued_form(pgmq.q_mqtt_messages) IS 'A work item of one message as if that were in the queue itself.';

CREATE OR REPLACE FUNCTION mqtt.record_failure(failed tid, code text, error text, is_counted boolean DEFAULT false) RETURNS text
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
    IF v_row.organization IS NOT NULL THEN
        v_row := mqtt.queued_form(v_row);
    END IF;
    v_message_id := coalesce(v_row.message_id, mqtt.message_id(v_row.enqueued_at, v_row.msg_id, false, v_row.place));
    IF v_row.attempts >= v_limit THEN
        DELETE FROM pgmq.q_mqtt_messages AS q WHERE q.msg_id = v_row.msg_id;
        DELETE FROM mqtt.history AS h
        WHERE h.received_at = v_row.enqueued_at AND h.organization = v_row.organization AND h.position = v_row.msg_id;
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

CREATE OR REPLACE FUNCTION mqtt.store_or_split(tids tid []) RETURNS integer []
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_half integer := cardinality(tids) / 2;
    v_parts tid [];
    v_left integer [];
    v_right integer [];
BEGIN
    PERFORM mqtt.enqueue_callbacks(tids);
    v_left := mqtt.store_messages(tids);
    RETURN ARRAY[v_left[1], 0, v_left[2]];
EXCEPTION
    -- Not the messages' fault: the whole batch is tried again later.
    WHEN lock_not_available OR serialization_failure OR deadlock_detected OR insufficient_resources OR operator_intervention
        OR system_error OR insufficient_privilege OR undefined_function OR undefined_table THEN
        RAISE;
    WHEN OTHERS THEN
        IF v_half = 0 THEN
            v_parts := mqtt.split_item(tids[1], NULL);
            IF cardinality(v_parts) > 1 THEN
                RETURN mqtt.store_or_split(v_parts);
            END IF;
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
'Settles a batch; when that raises, its halves, down to the single message at fault, work items being split. Returns how many were stored, failed and became dead letters.';

CREATE OR REPLACE FUNCTION mqtt.process_batch(batch_size integer DEFAULT 1000, announces boolean DEFAULT false) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_due record;
    v_tids tid [];
    v_counts integer [] := '{0,0,0}';
    v_looked_at CONSTANT timestamptz := coalesce(nullif(current_setting('topicbase.deferral_looked_at', true), ''), '-infinity');
BEGIN
    IF clock_timestamp() NOT BETWEEN v_looked_at AND v_looked_at + interval '1 second' AND mqtt.apply_due_updates() THEN
        RETURN jsonb_build_object('processed', 0, 'failed', 0, 'dead', 0, 'more', true);
    END IF;
    v_due := mqtt.due_messages(batch_size);
    v_tids := v_due.tids;
    IF v_tids <> '{}' THEN
        IF announces THEN
            -- Goes out at once, and so before what may end the session.
            RAISE INFO 'batch' USING DETAIL = v_tids::text;
        END IF;
        v_counts := mqtt.store_or_split(mqtt.cut_items(v_tids, v_due.cuts));
    END IF;
    RETURN jsonb_build_object(
        'processed', v_counts[1], 'failed', v_counts[2], 'dead', v_counts[3], 'more', v_due.messages >= batch_size
    );
END;
$$;
COMMENT ON FUNCTION mqtt.process_batch(integer, boolean) IS
'Processes up to batch_size due messages; any number of workers may call it at once. Returns {"processed", "failed", "dead", "more"}; more: a full batch was taken, or updates that were deferred were made instead; call again. With announces, an INFO names the row addresses before they are processed: a caller whose session dies of one knows which to look at (mqtt.begin_attempt).';
COMMIT;
