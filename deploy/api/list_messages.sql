-- Deploy topicbase:api/list_messages to pg
-- requires: api/message_list_types
-- requires: base/message_ids
-- requires: integrations/access
-- requires: integrations/find_device
-- requires: tables/cursors
-- requires: topics/filters
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.messages_sql(request mqtt.message_request) RETURNS text
LANGUAGE plpgsql IMMUTABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- An id is in the key of the organization.
    v_is_by_integration CONSTANT boolean := request.integration_id IS NOT NULL AND request.id IS NULL;
    v_conditions CONSTANT text := concat(
        CASE WHEN request.integration_id IS NOT NULL THEN ' AND m.integration_id = ($1).integration_id' END,
        CASE WHEN request.device_id IS NOT NULL THEN ' AND m.device_id = ($1).device_id' END,
        CASE WHEN request.topic IS NOT NULL THEN ' AND m.topic = ($1).topic' END,
        CASE WHEN request.topic_pattern IS NOT NULL THEN ' AND m.topic ~ ($1).topic_pattern' END,
        CASE WHEN request.id IS NOT NULL THEN ' AND m.id = ($1).id' END,
        CASE WHEN request.direction IS NOT NULL THEN ' AND m.direction = ($1).direction' END,
        CASE WHEN request.stored_since IS NOT NULL THEN ' AND m.created_at >= ($1).stored_since' END,
        CASE WHEN request.cursor_at IS NOT NULL THEN format(
            ' AND (m.received_at, m.position, m.id) %s (($1).cursor_at, ($1).cursor_position, ($1).cursor_id)',
            CASE WHEN request.is_oldest_first THEN '>' ELSE '<' END
        ) END
    );
BEGIN
    -- Each organization or integration by an index of its own, merged: of several at once, Postgres would read all to sort them.
    RETURN format(
        'SELECT t.* FROM unnest(%s) AS s (id) CROSS JOIN LATERAL (SELECT m.* FROM mqtt.mqtt_messages AS m WHERE m.%s = s.id '
        'AND m.received_at >= $2 AND m.received_at < $3%s ORDER BY m.received_at %4$s, m.position %4$s, m.id %4$s LIMIT $4) AS t '
        'ORDER BY t.received_at %4$s, t.position %4$s, t.id %4$s LIMIT $4',
        CASE WHEN v_is_by_integration THEN 'ARRAY[($1).integration_id]' ELSE '($1).organization_ids' END,
        CASE WHEN v_is_by_integration THEN 'integration_id' ELSE 'organization_id' END,
        v_conditions, CASE WHEN request.is_oldest_first THEN 'ASC' ELSE 'DESC' END
    );
END;
$$;
COMMENT ON FUNCTION mqtt.messages_sql(mqtt.message_request) IS
'The query for the messages that a request ($1) selects from $2 until before $3, at most $4, with only the conditions that it has.';

CREATE OR REPLACE FUNCTION mqtt.messages(request mqtt.message_request) RETURNS SETOF mqtt.mqtt_messages
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- Compiling the plan for every partition takes longer than running it.
SET jit = off
SET enable_sort = on
AS $$
DECLARE
    v_query CONSTANT text := mqtt.messages_sql(request);
    v_since timestamptz := coalesce(request.since, '-infinity');
    v_until timestamptz := coalesce(request.until, 'infinity');
    v_days integer := 1;
    v_from timestamptz;
    v_to timestamptz;
    v_missing integer := request.most;
    v_found integer;
BEGIN
    -- The planner overestimates how selective filters are, and would read and sort all to take the newest; but a device's own index has another order.
    PERFORM set_config('enable_sort', (request.device_id IS NOT NULL)::text, true);
    -- From one end, over more and more days at a time: a plan for the few that have enough is made sooner than one for all that there are.
    LOOP
        v_from := v_since;
        v_to := v_until;
        IF v_days > 64 OR (request.is_oldest_first AND v_since = '-infinity') THEN
            NULL;
        ELSIF request.is_oldest_first THEN
            v_to := least(v_until, date_trunc('day', v_since, 'UTC') + make_interval(days => v_days));
        ELSE
            v_from := greatest(v_since, date_trunc('day', least(v_until, now()) - interval '1 microsecond', 'UTC') - make_interval(days => v_days - 1));
        END IF;
        RETURN QUERY EXECUTE v_query USING request, v_from, v_to, v_missing;
        GET DIAGNOSTICS v_found = ROW_COUNT;
        v_missing := v_missing - v_found;
        EXIT WHEN v_missing <= 0 OR (v_from <= v_since AND v_to >= v_until);
        IF request.is_oldest_first THEN
            v_since := v_to;
        ELSE
            v_until := v_from;
        END IF;
        v_days := v_days * 4;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION mqtt.messages(mqtt.message_request) IS
'The messages that a request selects among those that the caller sees, by when they were received and in the order of acceptance.';

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
GRANT EXECUTE ON FUNCTION mqtt.messages_sql(mqtt.message_request), mqtt.messages(mqtt.message_request),
mqtt.check_message_request(text, text, text, integer) TO authenticated, service_role;

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
    v_id_at CONSTANT timestamptz := mqtt.message_id_time(list_messages.id);
    v_request mqtt.message_request;
    v_device mqtt.devices;
BEGIN
    PERFORM mqtt.check_message_request(list_messages.direction, list_messages.topic, list_messages.filter, v_most);
    IF list_messages.integration_id IS NOT NULL THEN
        v_request.organization_ids := ARRAY[(mqtt.require_integration(list_messages.integration_id, list_messages.organization_id)).organization_id];
    ELSIF list_messages.organization_id IS NOT NULL THEN
        v_request.organization_ids := ARRAY[(mqtt.require_organization(list_messages.organization_id)).id];
    ELSE
        v_request.organization_ids := ARRAY(SELECT o.id FROM mqtt.organizations AS o);
    END IF;
    v_request.integration_id := list_messages.integration_id;
    IF list_messages.device_id IS NOT NULL THEN
        v_device := mqtt.find_device(list_messages.device_id, NULL, list_messages.integration_id, list_messages.organization_id);
        v_request.organization_ids := ARRAY[v_device.organization_id];
        v_request.integration_id := v_device.integration_id;
        v_request.device_id := v_device.id;
    END IF;
    v_request.topic := list_messages.topic;
    v_request.topic_pattern := mqtt.topic_filter_pattern(list_messages.filter);
    v_request.id := list_messages.id;
    v_request.direction := list_messages.direction;
    v_request.is_oldest_first := coalesce(list_messages.oldest_first, false);
    v_request.most := v_most;
    v_request.stored_since := list_messages.stored_since;
    v_request.cursor_at := v_cursor.at;
    v_request.cursor_position := coalesce(mqtt.cursor_position(v_cursor), CASE WHEN v_request.is_oldest_first THEN 9223372036854775807 ELSE -1 END);
    v_request.cursor_id := v_cursor.id;
    v_request.since := greatest(list_messages.since, v_id_at, CASE WHEN v_request.is_oldest_first THEN v_cursor.at END);
    v_request.until := least(
        list_messages.until, v_id_at + interval '2 milliseconds', CASE WHEN NOT v_request.is_oldest_first THEN v_cursor.at + interval '1 microsecond' END
    );
    RETURN QUERY
    SELECT
        m.id, m.organization_id, m.integration_id, m.device_id, m.direction::text, m.topic, m.message_type, m.payload,
        translate(encode(m.body, 'base64'), E'\n', ''), m.content_type, m.decode_error, m.qos, m.retain, m.properties, m.sent_at, m.received_at,
        m.created_at, m.measured_at, m.sent_at <> m.measured_at, mqtt.encode_cursor(m.received_at, m.received_at, m.organization_id, m.id)
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
