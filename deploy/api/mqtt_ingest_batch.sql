-- Deploy topicbase:api/mqtt_ingest_batch to pg
-- requires: ingest/enqueue_batch
-- requires: ingest/store_plain_batch
-- requires: ingest/wrong_passwords
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.require_batch(message_count integer, max_messages integer) RETURNS void
LANGUAGE plpgsql IMMUTABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF message_count IS NULL THEN
        RAISE EXCEPTION 'messages_invalid' USING
            ERRCODE = 'PT400',
            DETAIL = 'messages is an array of messages.',
            HINT = 'Send {"messages": [{"topic": …, "payload": …}, …]}.';
    ELSIF message_count = 0 THEN
        RAISE EXCEPTION 'batch_empty' USING
            ERRCODE = 'PT400', DETAIL = 'The array contains no message.', HINT = 'Send at least one message.';
    ELSIF message_count > max_messages THEN
        RAISE EXCEPTION 'batch_too_large' USING
            ERRCODE = 'PT413',
            DETAIL = format('The array contains %s messages.', message_count),
            HINT = format('Send at most %s messages per call.', max_messages);
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.require_batch(integer, integer) IS 'Raises messages_invalid for a count of null (not an array), batch_empty or batch_too_large.';

CREATE OR REPLACE FUNCTION mqtt.storable_messages(messages json, faults text []) RETURNS jsonb
LANGUAGE sql IMMUTABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT jsonb_agg(CASE WHEN faults[e.ordinality] IS NULL THEN e.value::jsonb ELSE 'null' END ORDER BY e.ordinality)
    FROM json_array_elements(messages) WITH ORDINALITY AS e;
END;
COMMENT ON FUNCTION mqtt.storable_messages(json, text []) IS 'The array as jsonb, with null in place of each element that has a fault (mqtt.message_reasons).';

CREATE OR REPLACE FUNCTION mqtt.take_batch_quota(session mqtt.device_session, message_count integer) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_granted CONSTANT integer := mqtt.take_quota(session, message_count);
BEGIN
    IF v_granted = 0 THEN
        PERFORM mqtt.refuse_for_now('429', 'quota_exceeded', 'More messages a second than this device or its organization may send.', mqtt.quota_wait(session));
    ELSIF v_granted < message_count THEN
        PERFORM set_config('response.headers', format('[{"Retry-After": "%s"}]', mqtt.quota_wait(session)), true);
    END IF;
    RETURN v_granted;
END;
$$;
COMMENT ON FUNCTION mqtt.take_batch_quota(mqtt.device_session, integer) IS
'How many messages of a batch the quotas allow now. Raises 429 quota_exceeded when that is none; sets Retry-After when it is not all of them.';

-- The argument has no name, so that PostgREST passes on the body as it came: if PostgREST parsed it, one \u0000 would lose the whole batch.
CREATE OR REPLACE FUNCTION api.mqtt_ingest_batch(json) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_session mqtt.device_session;
    v_nul_mark text;
    v_bare json;
    v_messages jsonb;
    v_count integer;
    v_faults text [];
    v_answer json;
    v_most integer;
    v_queued integer := 0;
BEGIN
    SELECT s.* INTO v_session FROM mqtt.request_session() AS s;
    IF v_session.fault IS NOT NULL THEN
        RETURN mqtt.answer_wrong_login(v_session);
    END IF;
    BEGIN
        v_messages := mqtt.checked_jsonb($1::text, CASE json_typeof($1) WHEN 'object' THEN 3 ELSE 2 END);
        IF jsonb_typeof(v_messages) = 'object' AND v_messages - 'messages' = '{}' THEN
            v_messages := v_messages -> 'messages';
        END IF;
        v_count := CASE WHEN jsonb_typeof(v_messages) = 'array' THEN jsonb_array_length(v_messages) END;
    EXCEPTION
        WHEN SQLSTATE 'PT400' THEN
            v_messages := NULL;
            -- Some element cannot be stored: find out which, and keep the others. A mark that occurs in none of them replaces \u0000.
            v_nul_mark := 'nul' || md5(random()::text || clock_timestamp()::text);
            v_bare := mqtt.bare_messages(regexp_replace($1::text, '(?<!\\)((?:\\\\)*)\\u0000', '\1' || v_nul_mark, 'g')::json);
            v_count := CASE WHEN json_typeof(v_bare) = 'array' THEN json_array_length(v_bare) END;
    END;
    PERFORM mqtt.require_batch(v_count, v_session.max_batch_messages);
    IF v_messages IS NULL THEN
        v_faults := mqtt.message_reasons(v_bare, v_nul_mark);
        v_messages := mqtt.storable_messages(v_bare, v_faults);
    END IF;
    PERFORM mqtt.require_bytes(v_session, octet_length($1::text)) WHERE v_session.organization_bytes IS NOT NULL;
    IF coalesce(v_session.credential_rate, v_session.organization_rate) IS NOT NULL THEN
        v_most := mqtt.take_batch_quota(v_session, v_count);
    END IF;
    IF v_faults IS NULL AND coalesce(v_most, v_count) = v_count THEN
        v_queued := mqtt.store_plain_batch(v_session, v_messages);
        IF v_queued = 0 THEN
            v_queued := mqtt.enqueue_plain_batch(v_session, v_messages);
        END IF;
    END IF;
    IF v_queued = 0 THEN
        v_answer := mqtt.enqueue_batch(v_session, v_messages, v_faults, v_most);
        v_queued := (v_answer ->> 'queued')::integer;
    END IF;
    IF v_queued > 0 THEN
        PERFORM mqtt.count_accepted(v_session.organization_id, v_queued);
    END IF;
    PERFORM set_config('response.status', '202', true);
    RETURN json_build_object(
        'accepted', coalesce(v_answer -> 'accepted', to_json(v_queued)), 'rejected', coalesce(v_answer -> 'rejected', '[]')
    );
END;
$$;
COMMENT ON FUNCTION api.mqtt_ingest_batch(json) IS
$md$Send many messages as a device

The body is `{"messages": [...]}`, or the array alone: up to 10,000 objects with the arguments of `mqtt_ingest` (`topic`, `payload`, `qos`,
`retain`, `content_type`, `payload_encoding`, `message_id`, `timestamp`). Valid messages are kept and invalid ones are reported: answers 202
`{"accepted": n, "rejected": [{"index", "code", "message"}]}`; `index` counts from 0. A repeated `message_id` counts as accepted and is
stored only once.

Errors: 401 `invalid_credentials`; 403 `publish_not_allowed`, `integration_inactive`; 400 `messages_invalid`, `batch_empty`; 413
`batch_too_large`; 429 `too_many_wrong_passwords`, `quota_exceeded`, `queue_paused`, with `Retry-After`. Codes of rejected
messages: those of `mqtt_ingest` (`quota_exceeded` for messages beyond the quota) and `message_invalid`, `payload_missing`.
Body: {"|": [{"messages": [{"topic": "text", "payload": "json", "qos?": "json", "retain?": "json", "content_type?": "text?", "payload_encoding?": "json|text|base64",
"message_id?": "text?", "timestamp?": "json"}]}, [{"topic": "text", "payload": "json", "qos?": "json", "retain?": "json", "content_type?": "text?", "payload_encoding?": "json|text|base64",
"message_id?": "text?", "timestamp?": "json"}]]}
Answer 202: {"accepted": "integer", "rejected": [{"index": "integer", "code": "text", "message": "text"}]}$md$;
GRANT EXECUTE ON FUNCTION api.mqtt_ingest_batch(json) TO anon, authenticated, service_role;
COMMIT;
