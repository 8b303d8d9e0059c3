-- Deploy topicbase:api/replay_mqtt_messages to pg
-- requires: publish/replay
-- requires: tables/log_activity
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
    v_request mqtt.replay_request;
    v_answer jsonb;
BEGIN
    v_request.organization_id := v_target.organization_id;
    v_request.integration_id := v_source.id;
    v_request.topic := topic;
    v_request.since := since;
    v_request.until := until;
    v_request.to_integration_id := v_target.id;
    v_request.to_topic := to_topic;
    v_request.max_per_second := max_per_second;
    v_request.max_messages := "limit";
    PERFORM mqtt.require_replayable(v_request);
    v_answer := mqtt.replay(v_request, dry_run);
    IF (v_answer ->> 'replayed')::integer > 0 THEN
        PERFORM mqtt.log_activity(
            v_target.organization_id, v_target.id, 'messages_replayed', 'success',
            jsonb_build_object('count', v_answer -> 'replayed', 'topic', topic, 'to_topic', to_topic, 'by', mqtt.current_user_id())
        );
    END IF;
    RETURN v_answer;
END;
$$;
COMMENT ON FUNCTION api.replay_mqtt_messages(uuid, text, timestamptz, timestamptz, uuid, text, numeric, boolean, integer) IS
$md$Publish stored messages again

Selects incoming messages of an integration whose topic matches `topic` (a topic filter) and that were received from `since` until `until`,
and publishes them, oldest first, to the broker of `to_integration_id` (by default the same integration) at `max_per_second`. `to_topic` may
contain `{topic}` for the original topic. Each carries the user property `replay_of`. `dry_run` only shows what would be replayed.
Answers `{"matched", "replayed", "until", "messages": [first 100]}`.

Errors: 404 `integration_not_found`; 403 `admin_required`; 400 `replay_invalid`;
the errors of mqtt_publish, any of which stops the whole replay: 403 `integration_inactive`, `topic_not_allowed`, 413 `payload_too_large`;
429 `queue_paused`, with `Retry-After`.
Answer: {"matched": "integer", "replayed": "integer", "until": "time?",
"messages": [{"id": "uuid", "topic": "text", "direction": "incoming|outgoing", "due_at": "time?"}]}$md$;
GRANT EXECUTE ON FUNCTION api.replay_mqtt_messages(uuid, text, timestamptz, timestamptz, uuid, text, numeric, boolean, integer)
TO authenticated, service_role;
COMMIT;
