-- Deploy topicbase:publish/replay to pg
-- requires: ingest/count_messages
-- requires: publish/permission
-- requires: publish/require_open_queue
-- requires: publish/require_replayable
-- requires: tables/queues
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.dead_letters_to_replay(request mqtt.replay_request) RETURNS SETOF mqtt.replay_message
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- With a patch, a new message is stored.
    v_marked CONSTANT mqtt.marked_message [] := CASE WHEN request.patch IS NULL THEN mqtt.marked_messages(request) ELSE '{}' END;
BEGIN
    PERFORM mqtt.require_unpacked(request);
    RETURN QUERY
    SELECT
        row_number() OVER (ORDER BY d.received_at, d.id) AS place, d.id, d.failed_at, d.replay_count, d.direction,
        coalesce(request.to_integration_id, d.integration_id) AS integration_id, d.credential_id,
        coalesce(d.message, '{}') - 'payload_bytes' || coalesce(request.patch, '{}') || CASE
            WHEN d.direction = 'incoming'
                THEN jsonb_build_object('properties', coalesce(d.message -> 'properties', '{}') || jsonb_build_object('replay_of', d.id))
            WHEN jsonb_typeof(d.message -> 'user_properties') = 'array'
                THEN jsonb_build_object('user_properties', (d.message -> 'user_properties') || jsonb_build_array(jsonb_build_array('replay_of', d.id)))
            ELSE jsonb_build_object('user_properties', coalesce(d.message -> 'user_properties', '{}') || jsonb_build_object('replay_of', d.id))
        END AS message,
        CASE
            WHEN NOT coalesce(request.patch ? 'payload', false) THEN d.body
            WHEN d.direction = 'outgoing' THEN mqtt.outbound_body(request.patch -> 'payload', NULL)
        END AS body,
        m.position, m.received_at
    FROM mqtt.mqtt_dead_letters AS d
    -- Elsewhere it would be another integration's message.
    CROSS JOIN LATERAL (
        SELECT d.is_stored AND request.patch IS NULL AND coalesce(request.to_integration_id = d.integration_id, true) AS is_kept
    ) AS k
    CROSS JOIN mqtt.topic_filter_levels(request.topic) AS l
    LEFT JOIN unnest(v_marked) AS m ON k.is_kept AND m.id = d.id AND m.received_at = d.received_at
    WHERE d.organization_id = request.organization_id
        -- Of too large a payload only the first part is there.
        AND ((d.message ? 'payload_bytes') IS NOT TRUE OR request.patch ? 'payload')
        AND (request.topic IS NULL OR mqtt.matched_levels(d.topic, l.topic_like, l.topic_levels) IS NOT NULL)
        AND (request.error IS NULL OR position(request.error IN d.error_message) > 0)
        AND (request.since IS NULL OR d.failed_at >= request.since)
        AND (request.until IS NULL OR d.failed_at < request.until)
        -- Its effects are made, or to come, or it has failed again since; or it is packed.
        AND (m.is_failed AND m.failed_at = d.failed_at) IS NOT FALSE
        AND NOT (k.is_kept AND EXISTS (SELECT FROM mqtt.packed_days AS p WHERE p.day = (d.received_at AT TIME ZONE 'UTC')::date))
        -- Only those not replayed before, unless they are named.
        AND CASE WHEN request.ids IS NULL THEN d.replayed_at IS NULL ELSE d.id = ANY (request.ids) END
    ORDER BY d.received_at, d.id
    LIMIT request.max_messages;
END;
$$;
COMMENT ON FUNCTION mqtt.dead_letters_to_replay(mqtt.replay_request) IS
'The dead letters that the request selects, patched and marked with replay_of, oldest first. Those of messages that the history has are left out where these are no longer marked as failed, or are packed.';

CREATE OR REPLACE FUNCTION mqtt.history_to_replay(request mqtt.replay_request) RETURNS SETOF mqtt.replay_message
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT
        h.place, h.id, NULL::timestamptz, NULL::smallint, 'outgoing'::mqtt.message_direction, request.to_integration_id, NULL::uuid,
        jsonb_build_object('topic', h.topic, 'qos', h.qos, 'user_properties', jsonb_build_object('replay_of', h.id))
        || CASE WHEN h.body IS NULL OR jsonb_typeof(h.payload) = 'string' THEN jsonb_build_object('payload', h.payload) ELSE '{}' END
        || CASE WHEN h.content_type IS NULL THEN '{}' ELSE jsonb_build_object('content_type', h.content_type) END,
        h.body, NULL::bigint, NULL::timestamptz
    FROM (
        SELECT
            row_number() OVER (ORDER BY m.received_at, m.position) AS place, m.id,
            replace(coalesce(request.to_topic, '{topic}'), '{topic}', m.topic) AS topic, m.payload, m.qos,
            -- Text is sent as text; what was decoded is sent as the JSON that it became.
            CASE
                WHEN m.body IS NULL AND m.content_type ~* '^application/(.*\+)?json' THEN NULL
                ELSE coalesce(m.body, mqtt.outbound_body(m.payload, CASE WHEN m.payload = 'null' THEN 'json' END))
            END AS body,
            CASE WHEN m.body IS NULL AND m.content_type ~* 'cbor|msgpack' THEN 'application/json' ELSE m.content_type END AS content_type
        FROM mqtt.mqtt_messages AS m
        WHERE m.organization = (
                SELECT o.number
                FROM mqtt.device_integrations AS i
                JOIN mqtt.organizations AS o ON o.id = i.organization_id
                WHERE i.id = request.integration_id
            )
            -- + 0: by the index of the organization, which is in order.
            AND m.topic_number + 0 = ANY (ARRAY(
                SELECT t.number
                FROM mqtt.topics AS t
                CROSS JOIN mqtt.topic_filter_levels(request.topic) AS l
                WHERE t.integration_id = request.integration_id AND mqtt.matched_levels(t.topic, l.topic_like, l.topic_levels) IS NOT NULL
            ))
            AND m.direction = 'incoming'
            AND m.received_at >= request.since
            AND m.received_at < coalesce(request.until, now())
            AND m.last_received_at >= request.since
            AND m.first_received_at < coalesce(request.until, now())
        ORDER BY m.received_at, m.position
        LIMIT request.max_messages
    ) AS h;
END;
$$;
COMMENT ON FUNCTION mqtt.history_to_replay(mqtt.replay_request) IS
'The incoming messages that the request selects, as messages to be published and marked with replay_of, oldest first.';

CREATE OR REPLACE FUNCTION mqtt.announce_replay(organization_id uuid, incoming integer, outgoing integer) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF incoming > 0 THEN
        PERFORM mqtt.require_open_queue(organization_id, 'ingest');
    END IF;
    IF outgoing > 0 THEN
        PERFORM mqtt.require_open_queue(organization_id, 'outbound');
        PERFORM mqtt.wake_bridge('outbound');
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.announce_replay(uuid, integer, integer) IS
'What has to follow when a replay has enqueued messages: raises 429 queue_paused if their queue is closed, and wakes the bridge for outgoing ones; mqtt.count_accepted does for incoming ones.';

CREATE OR REPLACE FUNCTION mqtt.redo_effects(organization_id uuid, messages mqtt.redone_message []) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- As in mqtt.marked_messages.
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
DECLARE
    v_organization CONSTANT integer := (SELECT o.number FROM mqtt.organizations AS o WHERE o.id = redo_effects.organization_id);
    v_positions bigint [];
BEGIN
    WITH unmarked AS (
        UPDATE mqtt.history AS h
        SET flags = h.flags - 256
        FROM unnest(messages) AS m
        WHERE h.received_at = m.received_at AND h.organization = v_organization AND h.position = m.position AND h.flags & 256 = 256
        RETURNING h.position
    )
    SELECT array_agg(u.position) INTO v_positions FROM unmarked AS u;
    INSERT INTO pgmq.q_mqtt_messages (msg_id, vt, enqueued_at, organization_id, integration_id, credential_id, organization, bodies)
    OVERRIDING SYSTEM VALUE
    SELECT
        m.position, m.due_at, m.received_at, redo_effects.organization_id, m.integration_id, m.credential_id, v_organization,
        CASE WHEN m.body IS NOT NULL THEN ARRAY[m.body] END
    FROM unnest(messages) AS m
    WHERE m.position = ANY (v_positions);
    -- They are no longer dead, but queued.
    INSERT INTO mqtt.ledger AS l (organization_id, bucket, shard, dead)
    SELECT redo_effects.organization_id, date_trunc('minute', m.received_at), mqtt.ledger_level_outcomes(), -count(*)
    FROM unnest(messages) AS m
    WHERE m.position = ANY (v_positions)
    GROUP BY 2
    ORDER BY 2
    ON CONFLICT ON CONSTRAINT ledger_pkey DO UPDATE SET dead = l.dead + excluded.dead;
    PERFORM mqtt.wake_bridge('ingest');
END;
$$;
COMMENT ON FUNCTION mqtt.redo_effects(uuid, mqtt.redone_message []) IS
'Queues messages again that the history has, marked as failed, so that their effects are made: each a work item of its own.';

CREATE OR REPLACE FUNCTION mqtt.replay(request mqtt.replay_request, dry_run boolean) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_is_history CONSTANT boolean := request.integration_id IS NOT NULL;
    v_now CONSTANT timestamptz := clock_timestamp();
    v_result record;
BEGIN
    WITH chosen AS MATERIALIZED (
        -- The first is due now, each further one its share of a second later.
        SELECT x.*, v_now + make_interval(secs => coalesce(((x.place - 1) / request.max_per_second)::double precision, 0)) AS due_at
        FROM (
            SELECT d.* FROM mqtt.dead_letters_to_replay(request) AS d WHERE NOT v_is_history
            UNION ALL
            SELECT h.* FROM mqtt.history_to_replay(request) AS h WHERE v_is_history
        ) AS x
    ), marked AS (
        UPDATE mqtt.mqtt_dead_letters AS d
        SET replayed_at = v_now, replay_count = d.replay_count + 1
        FROM chosen AS c
        WHERE NOT dry_run AND NOT v_is_history AND d.organization_id = request.organization_id AND d.failed_at = c.failed_at AND d.id = c.id
            AND d.replay_count = c.replay_count  -- another call may have replayed it meanwhile
        RETURNING d.failed_at, d.id
    ), taken AS MATERIALIZED (
        SELECT c.* FROM chosen AS c WHERE NOT dry_run AND (v_is_history OR (c.failed_at, c.id) IN (SELECT m.failed_at, m.id FROM marked AS m))
    ), ingested AS (
        INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id, credential_id, body)
        SELECT t.due_at, t.message, request.organization_id, t.integration_id, t.credential_id, t.body
        FROM taken AS t
        WHERE t.direction = 'incoming' AND t.stored_position IS NULL
        ORDER BY t.place
    ), published AS (
        INSERT INTO pgmq.q_mqtt_outbound (vt, message, organization_id, integration_id, body)
        SELECT t.due_at, t.message, request.organization_id, t.integration_id, t.body
        FROM taken AS t
        WHERE t.direction = 'outgoing'
        ORDER BY t.place
    )
    SELECT
        jsonb_build_object('matched', count(*), 'replayed', (SELECT count(*) FROM taken), 'until', max(c.due_at), 'messages', coalesce(jsonb_agg(
            jsonb_build_object('id', c.id, 'topic', c.message ->> 'topic', 'direction', c.direction, 'due_at', c.due_at) ORDER BY c.place
        ) FILTER (WHERE c.place <= 100), '[]')) AS answer,
        (SELECT count(*) FROM taken AS t WHERE t.direction = 'incoming' AND t.stored_position IS NULL) AS incoming,
        ARRAY(SELECT ROW(t.stored_position, t.received_at, t.due_at, t.integration_id, t.credential_id, t.body)::mqtt.redone_message FROM taken AS t
            WHERE t.stored_position IS NOT NULL) AS redone,
        (SELECT count(*) FROM taken AS t WHERE t.direction = 'outgoing') AS outgoing,
        min(mqtt.outbound_fault(
            l.is_inactive, l.required_prefix, l.max_bytes, c.message ->> 'topic', mqtt.outbound_bytes(c.message -> 'payload', c.body)
        )) FILTER (WHERE c.direction = 'outgoing') AS fault
    INTO v_result
    FROM chosen AS c
    LEFT JOIN LATERAL mqtt.outbound_limits(c.integration_id) AS l ON true;
    PERFORM mqtt.refuse_outbound(v_result.fault);
    PERFORM mqtt.announce_replay(request.organization_id, v_result.incoming::integer + cardinality(v_result.redone), v_result.outgoing::integer);
    PERFORM mqtt.redo_effects(request.organization_id, v_result.redone) WHERE v_result.redone <> '{}';
    PERFORM mqtt.count_accepted(request.organization_id, v_result.incoming::integer) WHERE v_result.incoming > 0;
    RETURN v_result.answer;
END;
$$;
COMMENT ON FUNCTION mqtt.replay(mqtt.replay_request, boolean) IS
'Enqueues again what the request selects, or of what the history has only its effects, all or nothing, or with dry_run only tells: {"matched", "replayed", "until": when the last is due, "messages": [first 100]}. Raises what mqtt.refuse_outbound and mqtt.announce_replay raise.';
COMMIT;
