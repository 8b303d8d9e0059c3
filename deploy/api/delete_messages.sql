-- Deploy topicbase:api/delete_messages to pg
-- requires: api/deletions
-- requires: base/refuse_for_now
-- requires: integrations/find_device
-- requires: tables/log_activity
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.book_deletion(wanted mqtt.deletions) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_deletion mqtt.deletions;
BEGIN
    PERFORM mqtt.require_part(wanted.organization_id, wanted.integration_id);
    IF (SELECT count(*) FROM mqtt.deletions AS d WHERE d.organization_id = wanted.organization_id AND d.state <> 'done') >= 100 THEN
        PERFORM mqtt.refuse_for_now('429', 'deletions_limit_reached', '100 deletions of the organization are not done yet.', 60);
    END IF;
    INSERT INTO mqtt.deletions AS d (organization_id, kind, requested_by, integration_id, device_id, filter, by_received, since, until)
    VALUES (
        wanted.organization_id, 'messages', mqtt.current_user_id(), wanted.integration_id, wanted.device_id, wanted.filter, wanted.by_received,
        wanted.since, wanted.until
    )
    RETURNING d.* INTO v_deletion;
    PERFORM mqtt.log_activity(
        v_deletion.organization_id, v_deletion.integration_id, 'messages_deletion_requested',
        details => mqtt.deletion_json(v_deletion) -> 'selected' || jsonb_build_object('deletion_id', v_deletion.id, 'user_id', v_deletion.requested_by)
    );
    PERFORM set_config('response.status', '202', true);
    RETURN mqtt.deletion_json(v_deletion);
END;
$$;
COMMENT ON FUNCTION mqtt.book_deletion(mqtt.deletions) IS
'Has messages deleted, as an admin of their organization: of the row, what selects them counts. Raises PT404 organization_not_found, PT403 admin_required, PT429 deletions_limit_reached.';
GRANT EXECUTE ON FUNCTION mqtt.book_deletion(mqtt.deletions) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.check_deletion(filter text, since timestamptz, until timestamptz, by_time text, is_all boolean) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF is_all THEN
        RAISE EXCEPTION 'selection_required' USING
            ERRCODE = 'PT400',
            DETAIL = 'The call does not say which messages are to be deleted.',
            HINT = 'Send one or more of integration_id, device_id, filter, since and until; filter "#" means every topic.';
    ELSIF filter IS NOT NULL AND mqtt.topic_filter_reason(filter) IS NOT NULL THEN
        RAISE EXCEPTION 'topic_invalid' USING
            ERRCODE = 'PT400', DETAIL = mqtt.topic_filter_reason(filter), HINT = 'A filter is a topic with the wildcards + and #.';
    ELSIF by_time IS NULL OR by_time NOT IN ('measured', 'received') THEN
        RAISE EXCEPTION 'time_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'time is "measured" or "received".', HINT = 'It says of which time since and until are.';
    ELSIF since >= until THEN
        RAISE EXCEPTION 'range_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'since is not before until.', HINT = 'Messages are deleted from since on, until before until.';
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.check_deletion(text, timestamptz, timestamptz, text, boolean) IS
'Raises PT400 selection_required, topic_invalid, time_invalid or range_invalid unless api.delete_messages takes these.';
GRANT EXECUTE ON FUNCTION mqtt.check_deletion(text, timestamptz, timestamptz, text, boolean) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION api.delete_messages(
    integration_id uuid DEFAULT NULL, device_id text DEFAULT NULL, filter text DEFAULT NULL, since timestamptz DEFAULT NULL,
    until timestamptz DEFAULT NULL, "time" text DEFAULT 'measured', organization_id uuid DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_device mqtt.devices;
    v_wanted mqtt.deletions;
BEGIN
    PERFORM mqtt.check_deletion(
        delete_messages.filter, delete_messages.since, delete_messages.until, delete_messages."time",
        num_nonnulls(delete_messages.integration_id, delete_messages.device_id, delete_messages.filter, delete_messages.since, delete_messages.until) = 0
    );
    IF delete_messages.integration_id IS NOT NULL THEN
        v_wanted.organization_id := (mqtt.require_integration(delete_messages.integration_id, delete_messages.organization_id)).organization_id;
    ELSIF delete_messages.organization_id IS NOT NULL THEN
        v_wanted.organization_id := (mqtt.require_organization(delete_messages.organization_id)).id;
    END IF;
    IF delete_messages.device_id IS NOT NULL THEN
        v_device := mqtt.find_device(delete_messages.device_id, NULL, delete_messages.integration_id, delete_messages.organization_id);
        v_wanted.organization_id := v_device.organization_id;
        v_wanted.device_id := v_device.id;
    END IF;
    IF v_wanted.organization_id IS NULL THEN
        PERFORM mqtt.require_single_organization();
        v_wanted.organization_id := CASE WHEN NOT mqtt.is_operator() THEN (mqtt.current_organization_ids())[1] END;
    END IF;
    -- An API key for some integrations deletes what is theirs.
    v_wanted.integration_id := coalesce(delete_messages.integration_id, CASE WHEN mqtt.key_integration_ids() IS NOT NULL THEN v_device.integration_id END);
    v_wanted.filter := nullif(delete_messages.filter, '#');
    v_wanted.by_received := delete_messages."time" = 'received';
    -- No message has a time beyond these, and sums of times stay in range.
    v_wanted.since := CASE WHEN delete_messages.since > '1970-01-01 00:00:00+00' THEN least(delete_messages.since, now() + interval '20 years') ELSE '-infinity' END;
    v_wanted.until := CASE
        WHEN delete_messages.until < now() + interval '20 years' THEN greatest(delete_messages.until, '1970-01-01 00:00:00+00') ELSE 'infinity'
    END;
    RETURN mqtt.book_deletion(v_wanted);
END;
$$;
COMMENT ON FUNCTION api.delete_messages(uuid, text, text, timestamptz, timestamptz, text, uuid) IS
$md$Delete messages

For admins. Deletes what was accepted before this call and matches everything that you send: integration_id, device_id (id or external id), filter (a
topic filter), since (from) and until (before), which are of measured_at, or with `time` "received" of received_at. Answers 202 with a
deletion, which maintenance works off within the next seconds or minutes; `get_deletion` shows its progress.
Messages go in both directions, with their readings, dead letters (by when they were received), receipts and webhook deliveries; rollups and latest
values follow, last_seen_at stays. A message with samples of several devices belongs to the first of them. Messages that wait to be published are not
deleted: cancel them with `cancel_mqtt_publish`.
Errors: 400 `selection_required`, `topic_invalid`, `time_invalid`, `range_invalid`, `organization_required`; 403 `admin_required`;
404 `organization_not_found`, `integration_not_found`, `device_not_found`; 409 `device_ambiguous`; 429 `deletions_limit_reached`.
Answer 202: "mqtt.deletion_json"$md$;
GRANT EXECUTE ON FUNCTION api.delete_messages(uuid, text, text, timestamptz, timestamptz, text, uuid) TO authenticated, service_role;
COMMIT;
