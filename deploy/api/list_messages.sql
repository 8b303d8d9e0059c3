-- Deploy topicbase:api/list_messages to pg
-- requires: api/message_queries
-- requires: api/message_topics
-- requires: integrations/access
-- requires: integrations/find_device
-- requires: tables/cursors
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.check_message_request(direction text, topic text, filter text, most integer) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (most BETWEEN 1 AND 1000) IS NOT TRUE THEN
        RAISE EXCEPTION 'limit_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'limit is a whole number from 1 to 1000.', HINT = 'Send the cursor of the last row to get the next page.';
    ELSIF direction NOT IN ('incoming', 'outgoing') THEN
        RAISE EXCEPTION 'direction_invalid' USING
            ERRCODE = 'PT400', DETAIL = 'direction is "incoming" or "outgoing".', HINT = 'Omit it for both.';
    ELSIF filter IS NOT NULL AND mqtt.topic_filter_reason(filter) IS NOT NULL THEN
        RAISE EXCEPTION 'topic_invalid' USING
            ERRCODE = 'PT400', DETAIL = mqtt.topic_filter_reason(filter), HINT = 'A filter is a topic with the wildcards + and #.';
    ELSIF filter IS NOT NULL AND topic IS NOT NULL THEN
        RAISE EXCEPTION 'argument_conflict' USING
            ERRCODE = 'PT400', DETAIL = 'topic is one topic, filter selects several.', HINT = 'Send one of the two.';
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.check_message_request(text, text, text, integer) IS
'Raises PT400 limit_invalid, direction_invalid, topic_invalid or argument_conflict unless api.list_messages takes these.';
GRANT EXECUTE ON FUNCTION mqtt.check_message_request(text, text, text, integer) TO authenticated, service_role;

CREATE OR REPLACE FUNCTION api.list_messages(
    organization_id uuid DEFAULT NULL, integration_id uuid DEFAULT NULL, device_id text DEFAULT NULL, topic text DEFAULT NULL,
    filter text DEFAULT NULL, id uuid DEFAULT NULL, direction text DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
    cursor text DEFAULT NULL, "limit" integer DEFAULT 100, page_size integer DEFAULT NULL, oldest_first boolean DEFAULT false,
    stored_since timestamptz DEFAULT NULL
) RETURNS SETOF mqtt.listed_message
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_cursor mqtt.message_cursor := mqtt.read_cursor(list_messages.cursor);
    v_most CONSTANT integer := coalesce(list_messages.page_size, list_messages."limit");
    v_request mqtt.message_request;
    v_device mqtt.devices;
    v_organization_ids uuid [];
    v_range record;
BEGIN
    PERFORM mqtt.check_message_request(list_messages.direction, list_messages.topic, list_messages.filter, v_most);
    IF list_messages.integration_id IS NOT NULL THEN
        v_organization_ids := ARRAY[(mqtt.require_integration(list_messages.integration_id, list_messages.organization_id)).organization_id];
    ELSIF list_messages.organization_id IS NOT NULL THEN
        v_organization_ids := ARRAY[(mqtt.require_organization(list_messages.organization_id)).id];
    ELSE
        v_organization_ids := ARRAY(SELECT o.id FROM mqtt.organizations AS o);
    END IF;
    IF list_messages.device_id IS NOT NULL THEN
        v_device := mqtt.find_device(list_messages.device_id, NULL, list_messages.integration_id, list_messages.organization_id);
        v_organization_ids := ARRAY[v_device.organization_id];
    END IF;
    v_request.organizations := ARRAY(SELECT o.number FROM mqtt.organizations AS o WHERE o.id = ANY (v_organization_ids));
    v_request.topics := mqtt.topics_of(
        v_organization_ids, list_messages.integration_id, v_device.id, list_messages.topic, list_messages.filter
    );
    v_request.is_restricted := coalesce(list_messages.integration_id::text, v_device.id::text, list_messages.topic, list_messages.filter) IS NOT NULL;
    v_request.is_oldest_first := coalesce(list_messages.oldest_first, false);
    SELECT list_messages.id, list_messages.direction, v_most, list_messages.stored_since
    INTO v_request.id, v_request.direction, v_request.most, v_request.stored_since;
    SELECT v_cursor.at, v_cursor.id INTO v_request.cursor_at, v_request.cursor_id;
    v_request.cursor_position := coalesce(mqtt.cursor_position(v_cursor), CASE WHEN v_request.is_oldest_first THEN 9223372036854775807 ELSE -1 END);
    SELECT r.* INTO v_range FROM mqtt.range_of_id(v_request.organizations, list_messages.id) AS r WHERE list_messages.id IS NOT NULL;
    v_request.packed_topics := CASE WHEN list_messages.id IS NOT NULL
        THEN ARRAY(SELECT unnest(v_request.topics) INTERSECT SELECT unnest(mqtt.packed_topics(v_request.organizations, list_messages.id))) END;
    IF v_request.topics = '{}' OR (list_messages.id IS NOT NULL AND v_range.first_at IS NULL) THEN
        RETURN;
    END IF;
    v_request.since := greatest(list_messages.since, v_range.first_at, CASE WHEN v_request.is_oldest_first THEN v_cursor.at END);
    v_request.until := interval '1 microsecond'
        + least(list_messages.until - interval '1 microsecond', v_range.last_at, CASE WHEN NOT v_request.is_oldest_first THEN v_cursor.at END);
    RETURN QUERY
    SELECT
        m.id, m.organization_id, m.integration_id, m.device_id, m.direction::text, m.topic, m.message_type, m.payload,
        translate(encode(m.body, 'base64'), E'\n', ''), m.content_type, m.decode_error, m.qos, m.retain, m.properties, m.sent_at, m.received_at,
        m.created_at, m.measured_at, m.sent_at <> m.measured_at, m.is_failed, mqtt.encode_cursor(m.received_at, m.received_at, m.organization_id, m.id)
    FROM mqtt.messages(v_request) AS m;
EXCEPTION
    WHEN query_canceled THEN
        RAISE EXCEPTION 'range_too_large' USING
            ERRCODE = 'PT413', DETAIL = 'The range has more messages than one request can go through.', HINT = 'Narrow since and until, or name a device.';
END;
$$;
COMMENT ON FUNCTION api.list_messages(
    uuid, uuid, text, text, text, uuid, text, timestamptz, timestamptz, text, integer, integer, boolean, timestamptz
) IS
$md$List messages

The history, both directions: the rows of the view mqtt_messages, each with a `cursor`, the newest first (with oldest_first the oldest), in the
order in which they were accepted. You can narrow the result by organization_id, integration_id, device_id (id or external id), topic (exact),
filter (a topic filter, such as `org_demo/devices/+/telemetry`), id, direction (incoming or outgoing), since (from) and until (before), which are
of received_at, and stored_since, which is of created_at. limit is 1 to 1000; page_size is the same, for GET, where PostgREST takes limit for
itself. To get the next page, send the cursor of the last row.
Errors: 400 `limit_invalid`, `cursor_invalid`, `direction_invalid`, `topic_invalid`, `argument_conflict`; 404 `organization_not_found`,
`integration_not_found`, `device_not_found`; 409 `device_ambiguous`; 413 `range_too_large`.$md$;
GRANT EXECUTE ON FUNCTION api.list_messages(
    uuid, uuid, text, text, text, uuid, text, timestamptz, timestamptz, text, integer, integer, boolean, timestamptz
) TO authenticated, service_role;
COMMIT;
