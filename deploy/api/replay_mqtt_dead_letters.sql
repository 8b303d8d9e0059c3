-- Deploy topicbase:api/replay_mqtt_dead_letters to pg
-- requires: base/json
-- requires: base/wake_bridge
-- requires: ingest/ledger
-- requires: ingest/require_room
-- requires: publish/permission
-- requires: tables/log_activity
-- requires: tables/mqtt_dead_letters
-- requires: tables/queues
-- requires: topics/filters
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.replay_mqtt_dead_letters(
    organization_id uuid, topic text DEFAULT NULL, error text DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
    ids uuid [] DEFAULT NULL, to_integration_id uuid DEFAULT NULL, patch jsonb DEFAULT NULL, max_per_second numeric DEFAULT NULL,
    dry_run boolean DEFAULT false, "limit" integer DEFAULT 10000
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_answer jsonb;
    v_incoming integer;
    v_outgoing integer;
    v_fault text;
    v_refused text;
    -- Once for all rows; Citus wants no volatile function in an UPDATE.
    v_now CONSTANT timestamptz := clock_timestamp();
BEGIN
    PERFORM mqtt.require_organization(organization_id, true);
    IF to_integration_id IS NOT NULL THEN
        PERFORM mqtt.require_integration(to_integration_id, organization_id, true);
    END IF;
    v_fault := CASE
        WHEN topic IS NOT NULL AND mqtt.topic_filter_error(topic) IS NOT NULL THEN mqtt.topic_filter_error(topic)
        WHEN patch IS NOT NULL AND (jsonb_typeof(patch) <> 'object' OR patch - '{topic,payload,qos,retain,content_type}'::text [] <> '{}')
            THEN 'patch is an object that may hold topic, payload, qos, retain and content_type.'
        WHEN patch ? 'topic' AND (jsonb_typeof(patch -> 'topic') <> 'string' OR mqtt.topic_name_error(patch ->> 'topic') IS NOT NULL)
            THEN 'patch.topic is no topic name.'
        WHEN patch ? 'qos' AND patch ->> 'qos' NOT IN ('0', '1', '2') THEN 'patch.qos is 0, 1 or 2.'
        WHEN patch ? 'retain' AND patch ->> 'retain' NOT IN ('true', 'false') THEN 'patch.retain is true or false.'
        WHEN patch ? 'content_type' AND jsonb_typeof(patch -> 'content_type') <> 'string' THEN 'patch.content_type is a string.'
        WHEN mqtt.has_extreme_number(patch) THEN 'patch.payload holds a number that cannot be stored.'
        WHEN max_per_second <= 0 THEN 'max_per_second is more than 0.'
        WHEN "limit" IS NULL OR "limit" NOT BETWEEN 1 AND 100000 THEN 'limit is 1 to 100,000.'
    END;
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION 'replay_invalid' USING
            ERRCODE = 'PT400', DETAIL = v_fault, HINT = 'Try with dry_run: true first; it answers what would be replayed.';
    END IF;
    WITH chosen AS MATERIALIZED (
        SELECT
            d.failed_at, d.id, d.direction, d.credential_id, d.replay_count,
            coalesce(replay_mqtt_dead_letters.to_integration_id, d.integration_id) AS integration_id,
            coalesce(d.message, '{}') || coalesce(patch, '{}') || CASE
                WHEN d.direction = 'incoming'
                    THEN jsonb_build_object('properties', coalesce(d.message -> 'properties', '{}') || jsonb_build_object('replay_of', d.id))
                WHEN jsonb_typeof(d.message -> 'user_properties') = 'array'
                    THEN jsonb_build_object('user_properties', (d.message -> 'user_properties') || jsonb_build_array(jsonb_build_array('replay_of', d.id)))
                ELSE jsonb_build_object('user_properties', coalesce(d.message -> 'user_properties', '{}') || jsonb_build_object('replay_of', d.id))
            END AS message,
            CASE WHEN patch ? 'payload' THEN NULL ELSE d.body END AS body,
            -- The first now, each other its share of a second later.
            v_now + make_interval(secs => coalesce(((row_number() OVER (ORDER BY d.received_at, d.id) - 1) / max_per_second)::double precision, 0)) AS due_at,
            row_number() OVER (ORDER BY d.received_at, d.id) AS place
        FROM mqtt.mqtt_dead_letters AS d
        WHERE d.organization_id = replay_mqtt_dead_letters.organization_id
            AND (replay_mqtt_dead_letters.topic IS NULL OR mqtt.topic_matches(replay_mqtt_dead_letters.topic, d.topic))
            AND (replay_mqtt_dead_letters.error IS NULL OR position(replay_mqtt_dead_letters.error IN d.error_message) > 0)
            AND (since IS NULL OR d.failed_at >= since)
            AND (until IS NULL OR d.failed_at < until)
            -- Once is enough, unless they are asked for by name.
            AND CASE WHEN ids IS NULL THEN d.replayed_at IS NULL ELSE d.id = ANY (ids) END
        ORDER BY d.received_at, d.id
        LIMIT "limit"
    ),
    marked AS (
        UPDATE mqtt.mqtt_dead_letters AS d
        SET replayed_at = v_now, replay_count = d.replay_count + 1
        FROM chosen AS c
        WHERE NOT dry_run AND d.organization_id = replay_mqtt_dead_letters.organization_id AND d.failed_at = c.failed_at AND d.id = c.id
            -- Another call may have replayed it meanwhile.
            AND d.replay_count = c.replay_count
        RETURNING d.failed_at, d.id
    ),
    replayed AS MATERIALIZED (
        SELECT c.* FROM chosen AS c JOIN marked AS m ON m.failed_at = c.failed_at AND m.id = c.id
    ),
    queued AS (
        INSERT INTO pgmq.q_mqtt_messages (vt, message, organization_id, integration_id, credential_id, body)
        SELECT r.due_at, r.message, replay_mqtt_dead_letters.organization_id, r.integration_id, r.credential_id, r.body
        FROM replayed AS r
        WHERE r.direction = 'incoming'
        ORDER BY r.place
    ),
    published AS (
        INSERT INTO pgmq.q_mqtt_outbound (vt, message, organization_id, integration_id, body)
        SELECT r.due_at, r.message, replay_mqtt_dead_letters.organization_id, r.integration_id, r.body
        FROM replayed AS r
        WHERE r.direction = 'outgoing'
        ORDER BY r.place
    )
    SELECT
        jsonb_build_object(
            'matched', count(*),
            'replayed', (SELECT count(*) FROM replayed),
            'messages', coalesce(
                jsonb_agg(jsonb_build_object('id', c.id, 'topic', c.message ->> 'topic', 'direction', c.direction, 'due_at', c.due_at) ORDER BY c.place)
                FILTER (WHERE c.place <= 100), '[]'
            )
        ),
        (SELECT count(*) FROM replayed AS r WHERE r.direction = 'incoming'),
        (SELECT count(*) FROM replayed AS r WHERE r.direction = 'outgoing'),
        min(mqtt.outbound_fault(c.integration_id, c.message ->> 'topic', coalesce(octet_length(c.body), octet_length(c.message ->> 'payload'))))
        FILTER (WHERE c.direction = 'outgoing')
    INTO v_answer, v_incoming, v_outgoing, v_refused
    FROM chosen AS c;
    PERFORM mqtt.refuse_outbound(v_refused);
    IF NOT dry_run AND v_incoming + v_outgoing > 0 THEN
        PERFORM mqtt.log_activity(
            organization_id, to_integration_id, 'dead_letters_replayed', 'success',
            jsonb_build_object('count', v_incoming + v_outgoing, 'topic', topic, 'error', error, 'by', mqtt.current_user_id(), 'is_patched', patch IS NOT NULL)
        );
    END IF;
    IF NOT dry_run AND v_incoming > 0 THEN
        PERFORM mqtt.require_room(organization_id, 'ingest');
        PERFORM mqtt.count_accepted(organization_id, v_incoming);
        PERFORM mqtt.wake_bridge('ingest');
    END IF;
    IF NOT dry_run AND v_outgoing > 0 THEN
        PERFORM mqtt.require_room(organization_id, 'outbound');
        PERFORM mqtt.wake_bridge('outbound');
    END IF;
    RETURN v_answer;
END;
$$;
COMMENT ON FUNCTION api.replay_mqtt_dead_letters(uuid, text, text, timestamptz, timestamptz, uuid [], uuid, jsonb, numeric, boolean, integer) IS
$md$Put dead letters back into the queue

Chooses by `topic` (a topic filter), `error` (part of its text), `since` and `until` (when they failed) and `ids`; without `ids` only those not
replayed before. `to_integration_id` sends them to another integration, `patch` replaces `topic`, `payload`, `qos`, `retain` or `content_type`,
`max_per_second` spreads them, `dry_run` only tells. Each keeps its row, marked with `replayed_at`, and the new message carries `replay_of` in
its properties (one that goes out, in its user properties). Answers `{"matched", "replayed", "messages": [first 100]}`.

Errors: 404 `organization_not_found`, `integration_not_found`; 403 `admin_required`; 400 `replay_invalid`;
for outgoing ones as mqtt_publish, and then for all: 403 `integration_inactive`, `topic_not_allowed`, 413 `payload_too_large`;
429 `intake_stopped`, with `Retry-After`.$md$;
GRANT EXECUTE ON FUNCTION api.replay_mqtt_dead_letters(uuid, text, text, timestamptz, timestamptz, uuid [], uuid, jsonb, numeric, boolean, integer)
TO authenticated, service_role;
COMMIT;
