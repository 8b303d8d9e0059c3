-- Deploy topicbase:api/replay_mqtt_dead_letters to pg
-- requires: publish/replay
-- requires: tables/log_activity
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
    v_request mqtt.replay_request;
    v_answer jsonb;
BEGIN
    PERFORM mqtt.require_organization(organization_id, true);
    IF to_integration_id IS NOT NULL THEN
        PERFORM mqtt.require_integration(to_integration_id, organization_id, true);
    END IF;
    v_request.organization_id := organization_id;
    v_request.topic := topic;
    v_request.error := error;
    v_request.since := since;
    v_request.until := until;
    v_request.ids := ids;
    v_request.to_integration_id := to_integration_id;
    v_request.patch := patch;
    v_request.max_per_second := max_per_second;
    v_request.max_messages := "limit";
    PERFORM mqtt.require_replayable(v_request);
    v_answer := mqtt.replay(v_request, dry_run) - 'until';
    IF (v_answer ->> 'replayed')::integer > 0 THEN
        PERFORM mqtt.log_activity(
            organization_id, to_integration_id, 'dead_letters_replayed', 'success', jsonb_build_object(
                'count', v_answer -> 'replayed', 'topic', topic, 'error', error, 'by', mqtt.current_user_id(), 'is_patched', patch IS NOT NULL
            )
        );
    END IF;
    RETURN v_answer;
END;
$$;
COMMENT ON FUNCTION api.replay_mqtt_dead_letters(uuid, text, text, timestamptz, timestamptz, uuid [], uuid, jsonb, numeric, boolean, integer) IS
$md$Put dead letters back into the queue

Selects by `topic` (a topic filter), `error` (part of its text), `since` and `until` (when they failed) and `ids`; without `ids` only dead
letters that have not been replayed before. `to_integration_id` sends them to another integration, `patch` replaces `topic`, `payload`, `qos`,
`retain` or `content_type`, `max_per_second` spreads them over time, and `dry_run` only shows what would be replayed. Each dead letter is kept
and marked with `replayed_at`; the new message carries `replay_of` in its properties (an outgoing one in its user properties).
A message that the history has (`failed` in mqtt_messages) is not stored again: only its effects are made, once, unless there is a `patch` or
another integration, for which a new message is stored. Of a packed day, such dead letters are left out, and refused if you name them in `ids`.
Returns `{"matched", "replayed", "messages": [first 100]}`.

Errors: 404 `organization_not_found`, `integration_not_found`; 403 `admin_required`; 400 `replay_invalid`; 409 `day_packed`;
for outgoing messages the errors of mqtt_publish, any of which stops the whole replay: 403 `integration_inactive`, `topic_not_allowed`,
413 `payload_too_large`; 429 `queue_paused`, with `Retry-After`.
Answer: {"matched": "integer", "replayed": "integer",
"messages": [{"id": "uuid", "topic": "text", "direction": "incoming|outgoing", "due_at": "time?"}]}$md$;
GRANT EXECUTE ON FUNCTION api.replay_mqtt_dead_letters(uuid, text, text, timestamptz, timestamptz, uuid [], uuid, jsonb, numeric, boolean, integer)
TO authenticated, service_role;
COMMIT;
