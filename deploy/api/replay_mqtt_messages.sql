-- Deploy topicbase:api/replay_mqtt_messages to pg
-- requires: base/wake_bridge
-- requires: ingest/require_room
-- requires: publish/message_rules
-- requires: publish/permission
-- requires: tables/log_activity
-- requires: tables/queues
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.replay_mqtt_messages(
    integration_id uuid, topic text, since timestamptz, until timestamptz DEFAULT NULL, to_integration_id uuid DEFAULT NULL,
    to_topic text DEFAULT NULL, max_per_second numeric DEFAULT 100, dry_run boolean DEFAULT false, "limit" integer DEFAULT 10000
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_source mqtt.device_integrations := mqtt.require_integration(integration_id, NULL, true);
    v_target mqtt.device_integrations := mqtt.require_integration(coalesce(to_integration_id, integration_id), v_source.organization_id, true);
    v_fault text;
    v_refused text;
    v_answer jsonb;
BEGIN
    v_fault := CASE
        WHEN mqtt.topic_filter_error(topic) IS NOT NULL THEN mqtt.topic_filter_error(topic)
        WHEN to_topic IS NOT NULL AND mqtt.topic_name_error(replace(to_topic, '{topic}', 'x')) IS NOT NULL THEN 'to_topic is no topic name.'
        WHEN since IS NULL THEN 'since is missing.'
        WHEN max_per_second IS NULL OR max_per_second <= 0 THEN 'max_per_second is more than 0.'
        WHEN "limit" IS NULL OR "limit" NOT BETWEEN 1 AND 100000 THEN 'limit is 1 to 100,000.'
    END;
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION 'replay_invalid' USING
            ERRCODE = 'PT400', DETAIL = v_fault, HINT = 'Try with dry_run: true first; it answers what would be replayed.';
    END IF;
    WITH chosen AS MATERIALIZED (
        SELECT
            m.id, replace(coalesce(to_topic, '{topic}'), '{topic}', m.topic) AS topic, m.payload, m.qos,
            -- Text goes out as text; what was decoded goes out as the JSON that it became.
            CASE
                WHEN m.body IS NULL AND m.content_type ~* '^application/(.*\+)?json' THEN NULL
                ELSE coalesce(m.body, mqtt.outbound_body(m.payload, NULL))
            END AS body,
            CASE WHEN m.body IS NULL AND m.content_type ~* 'cbor|msgpack' THEN 'application/json' ELSE m.content_type END AS content_type,
            clock_timestamp()
            + make_interval(secs => ((row_number() OVER (ORDER BY m.received_at, m.id) - 1) / max_per_second)::double precision) AS due_at,
            row_number() OVER (ORDER BY m.received_at, m.id) AS place
        FROM mqtt.mqtt_messages AS m
        WHERE m.integration_id = v_source.id
            AND m.direction = 'incoming'
            AND m.received_at >= since
            AND m.received_at < coalesce(until, now())
            AND mqtt.topic_matches(replay_mqtt_messages.topic, m.topic)
        ORDER BY m.received_at, m.id
        LIMIT "limit"
    ),
    queued AS (
        INSERT INTO pgmq.q_mqtt_outbound (vt, message, organization_id, integration_id, body)
        SELECT
            c.due_at,
            jsonb_build_object('topic', c.topic, 'qos', c.qos, 'user_properties', jsonb_build_object('replay_of', c.id))
            || CASE WHEN c.body IS NULL OR jsonb_typeof(c.payload) = 'string' THEN jsonb_build_object('payload', c.payload) ELSE '{}' END
            || CASE WHEN c.content_type IS NULL THEN '{}' ELSE jsonb_build_object('content_type', c.content_type) END,
            v_target.organization_id, v_target.id, c.body
        FROM chosen AS c
        WHERE NOT dry_run
        ORDER BY c.place
    )
    SELECT jsonb_build_object(
        'matched', count(*),
        'replayed', CASE WHEN dry_run THEN 0 ELSE count(*) END,
        'until', max(c.due_at),
        'messages', coalesce(
            jsonb_agg(jsonb_build_object('id', c.id, 'topic', c.topic, 'due_at', c.due_at) ORDER BY c.place) FILTER (WHERE c.place <= 100), '[]'
        )
    ), min(mqtt.outbound_fault(v_target.id, c.topic, coalesce(octet_length(c.body), octet_length(c.payload::text))))
    INTO v_answer, v_refused
    FROM chosen AS c;
    PERFORM mqtt.refuse_outbound(v_refused);
    IF (v_answer ->> 'replayed')::integer > 0 THEN
        PERFORM mqtt.require_room(v_target.organization_id, 'outbound');
        PERFORM mqtt.log_activity(
            v_target.organization_id, v_target.id, 'messages_replayed', 'success',
            jsonb_build_object('count', v_answer -> 'replayed', 'topic', topic, 'to_topic', to_topic, 'by', mqtt.current_user_id())
        );
        PERFORM mqtt.wake_bridge('outbound');
    END IF;
    RETURN v_answer;
END;
$$;
COMMENT ON FUNCTION api.replay_mqtt_messages(uuid, text, timestamptz, timestamptz, uuid, text, numeric, boolean, integer) IS
$md$Publish stored messages once more

Takes incoming messages of an integration whose topic matches `topic` (a topic filter), received from `since` until `until`, oldest first, and
publishes them to the broker of `to_integration_id` (or the same integration) at `max_per_second`; `to_topic` may hold `{topic}` for the original
one. Each carries the user property `replay_of`. `dry_run` only tells. Answers `{"matched", "replayed", "until", "messages": [first 100]}`.

Errors: 404 `integration_not_found`; 403 `admin_required`; 400 `replay_invalid`;
as mqtt_publish, and then for all: 403 `integration_inactive`, `topic_not_allowed`, 413 `payload_too_large`; 429 `intake_stopped`, with `Retry-After`.$md$;
GRANT EXECUTE ON FUNCTION api.replay_mqtt_messages(uuid, text, timestamptz, timestamptz, uuid, text, numeric, boolean, integer)
TO authenticated, service_role;
COMMIT;
