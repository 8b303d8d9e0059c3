-- Deploy topicbase:process/record_failure to pg
-- requires: ingest/count_messages
-- requires: ingest/message_document
-- requires: tables/device_integrations
-- requires: tables/log_activity
-- requires: tables/mqtt_dead_letters
-- requires: tables/queues
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
    IF item.organization IS NOT NULL THEN
        SELECT
            h.id, coalesce(item.bodies[1], h.body), mqtt.message_document(
                t.topic, CASE WHEN h.body IS NULL AND item.bodies IS NULL THEN h.payload END, h.flags & 3, h.flags & 4 = 4, h.content_type,
                CASE WHEN h.flags & 32 = 32 THEN h.measured_at ELSE h.sent_at END, h.properties
            )
        INTO item.message_id, item.body, item.message
        FROM mqtt.history AS h
        JOIN mqtt.topics AS t ON t.number = h.topic
        WHERE h.received_at = item.enqueued_at AND h.organization = item.organization AND h.position = item.msg_id;
    END IF;
    item.message_id := coalesce(item.message_id, mqtt.message_id(item.enqueued_at, item.msg_id, false, item.place));
    RETURN item;
END;
$$;
COMMENT ON FUNCTION mqtt.queued_form(pgmq.q_mqtt_messages) IS 'A queued message, or a work item of one as if its message were in the queue itself; with the message''s id.';

CREATE OR REPLACE FUNCTION mqtt.bury_message(item pgmq.q_mqtt_messages, form pgmq.q_mqtt_messages, error text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- Further settings are those of mqtt.record_failure, which calls it.
AS $$
DECLARE
    v_is_stored boolean := false;
BEGIN
    DELETE FROM pgmq.q_mqtt_messages AS q WHERE q.msg_id = item.msg_id;
    IF item.organization IS NOT NULL THEN
        UPDATE mqtt.history AS h
        SET flags = h.flags | 256
        WHERE h.received_at = item.enqueued_at AND h.organization = item.organization AND h.position = item.msg_id;
        v_is_stored := found;
    END IF;
    INSERT INTO mqtt.mqtt_dead_letters (
        received_at, organization_id, id, integration_id, credential_id, direction, attempts, topic, message, body, error_message, errors, is_stored
    ) VALUES (
        item.enqueued_at, item.organization_id, form.message_id, item.integration_id, item.credential_id, 'incoming', item.attempts,
        form.message ->> 'topic', form.message, form.body, left(error, 500), item.errors, v_is_stored
    );
    PERFORM mqtt.count_dead(item.organization_id, item.enqueued_at);
END;
$$;
COMMENT ON FUNCTION mqtt.bury_message(pgmq.q_mqtt_messages, pgmq.q_mqtt_messages, text) IS
'Makes a dead letter of a queued message that has used up its attempts; form: as mqtt.queued_form has it, with its id. One that the history has stays there, marked as failed. A part of mqtt.record_failure.';

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
    v_form pgmq.q_mqtt_messages;
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
    v_form := mqtt.queued_form(v_row);
    IF v_row.attempts >= v_limit THEN
        PERFORM mqtt.bury_message(v_row, v_form, error);
    END IF;
    PERFORM mqtt.log_activity(
        v_row.organization_id, v_row.integration_id, CASE WHEN v_row.attempts >= v_limit THEN 'message_dead' ELSE 'message_failed' END,
        'failed', jsonb_build_object('message_id', v_form.message_id, 'attempts', v_row.attempts, 'code', code), left(error, 500)
    );
    RETURN CASE WHEN v_row.attempts >= v_limit THEN 'dead' ELSE 'failed' END;
END;
$$;
COMMENT ON FUNCTION mqtt.record_failure(tid, text, text, boolean) IS
'Counts a failed attempt (unless it is counted already: then the error replaces the last one): the message waits for its next one (failed) or becomes a dead letter (dead).';
COMMIT;
