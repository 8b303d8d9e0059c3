-- Deploy topicbase:publish/require_replayable to pg
-- requires: base/json
-- requires: publish/message_rules
-- requires: publish/replay_request
-- requires: tables/mqtt_dead_letters
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.replay_patch_reason(patch jsonb) RETURNS text
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT CASE
        WHEN patch IS NULL THEN NULL
        WHEN jsonb_typeof(patch) <> 'object' OR patch - '{topic,payload,qos,retain,content_type}'::text [] <> '{}'
            THEN 'patch must be an object with no keys other than topic, payload, qos, retain and content_type.'
        WHEN mqtt.has_extreme_number(patch) THEN 'patch.payload contains a number that cannot be stored.'
        WHEN mqtt.has_far_numbers(patch) THEN 'patch.payload: ' || mqtt.far_exponents_reason()
        WHEN mqtt.is_too_deep(patch, 1) THEN 'patch.payload is nested more than 128 levels deep.'
        ELSE 'patch: ' || mqtt.publish_reason('{"topic": "x", "payload": null}'::jsonb || patch)
    END;
END;
COMMENT ON FUNCTION mqtt.replay_patch_reason(jsonb) IS
'Why these fields cannot replace those of a message, in words, by the rules of mqtt.publish_reason; null when they can, or when there are none.';

CREATE OR REPLACE FUNCTION mqtt.require_replayable(request mqtt.replay_request) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_is_history CONSTANT boolean := request.integration_id IS NOT NULL;
    v_fault text;
BEGIN
    v_fault := CASE
        WHEN (v_is_history OR request.topic IS NOT NULL) AND mqtt.topic_filter_reason(request.topic) IS NOT NULL
            THEN mqtt.topic_filter_reason(request.topic)
        WHEN mqtt.replay_patch_reason(request.patch) IS NOT NULL THEN mqtt.replay_patch_reason(request.patch)
        WHEN request.to_topic IS NOT NULL AND mqtt.outbound_topic_reason(replace(request.to_topic, '{topic}', 'x')) IS NOT NULL
            THEN 'to_topic is not a topic name.'
        WHEN v_is_history AND request.since IS NULL THEN 'since is missing.'
        WHEN request.max_per_second <= 0 OR (v_is_history AND request.max_per_second IS NULL) THEN 'max_per_second must be more than 0.'
        WHEN (request.max_messages BETWEEN 1 AND 100000) IS NOT TRUE THEN 'limit must be from 1 to 100,000.'
    END;
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION 'replay_invalid' USING
            ERRCODE = 'PT400', DETAIL = v_fault, HINT = 'Try it with dry_run: true first: that returns what would be replayed.';
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.require_replayable(mqtt.replay_request) IS 'Raises PT400 replay_invalid when the request makes no sense.';

CREATE OR REPLACE FUNCTION mqtt.marked_messages(request mqtt.replay_request) RETURNS mqtt.marked_message []
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- Rows of the history by key, however the tables stood when the plan was made.
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
DECLARE
    v_organization CONSTANT integer := (SELECT o.number FROM mqtt.organizations AS o WHERE o.id = request.organization_id);
    v_ids uuid [];
    v_times timestamptz [];
    v_failed timestamptz [];
BEGIN
    SELECT array_agg(x.id), array_agg(x.received_at), array_agg(x.failed_at) INTO v_ids, v_times, v_failed
    FROM (
        SELECT d.id, d.received_at, max(d.failed_at) AS failed_at
        FROM mqtt.mqtt_dead_letters AS d
        WHERE d.organization_id = request.organization_id AND d.is_stored
            AND CASE WHEN request.ids IS NULL THEN d.replayed_at IS NULL ELSE d.id = ANY (request.ids) END
        GROUP BY d.id, d.received_at
    ) AS x;
    RETURN ARRAY(
        SELECT ROW(h.id, h.received_at, d.failed_at, h.position, h.flags & 256 = 256)::mqtt.marked_message
        FROM unnest(v_ids, v_times, v_failed) AS d (id, received_at, failed_at)
        JOIN mqtt.history AS h ON h.received_at = d.received_at AND h.organization = v_organization AND h.id = d.id
    );
END;
$$;
COMMENT ON FUNCTION mqtt.marked_messages(mqtt.replay_request) IS
'What the history has of the dead letters that a request may select: those of which only the effects are to be made.';

CREATE OR REPLACE FUNCTION mqtt.require_unpacked(request mqtt.replay_request) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_packed record;
BEGIN
    IF request.ids IS NULL OR request.patch IS NOT NULL THEN
        RETURN;
    END IF;
    SELECT d.id, p.day INTO v_packed
    FROM mqtt.mqtt_dead_letters AS d
    JOIN mqtt.packed_days AS p ON p.day = (d.received_at AT TIME ZONE 'UTC')::date
    WHERE d.organization_id = request.organization_id AND d.id = ANY (request.ids) AND d.is_stored
        AND coalesce(request.to_integration_id = d.integration_id, true)
    LIMIT 1;
    IF found THEN
        RAISE EXCEPTION 'day_packed' USING
            ERRCODE = 'PT409',
            DETAIL = format('Message %s was received on %s (UTC); that day is packed, so its messages stay as they are.', v_packed.id, v_packed.day),
            HINT = 'Send a patch, for example {"qos": 0}: then the message is stored once more, as a new one.';
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.require_unpacked(mqtt.replay_request) IS
'Raises PT409 day_packed when a request names a dead letter whose effects alone would be made, of a message on a packed day.';

-- In PL/pgSQL, because Citus does not plan SQL functions with arguments. mqtt.replay executes only the one that it needs.
COMMIT;
