-- Deploy topicbase:api/list_messages to pg
-- requires: api/message_list_types
-- requires: api/message_topics
-- requires: integrations/access
-- requires: integrations/find_device
-- requires: tables/cursors
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.messages_sql(request mqtt.message_request, is_by_topic boolean DEFAULT false) RETURNS text
LANGUAGE plpgsql IMMUTABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_direction CONSTANT text := CASE WHEN request.is_oldest_first THEN 'ASC' ELSE 'DESC' END;
    v_conditions CONSTANT text := concat(
        CASE WHEN request.id IS NOT NULL THEN ' AND m.id = ($1).id' END,
        CASE WHEN request.direction IS NOT NULL THEN ' AND m.direction = ($1).direction' END,
        CASE WHEN request.stored_since IS NOT NULL THEN ' AND m.created_at >= ($1).stored_since' END,
        CASE WHEN request.cursor_at IS NOT NULL THEN format(
            ' AND (m.received_at, m.position, m.id) %s (($1).cursor_at, ($1).cursor_position, ($1).cursor_id)',
            CASE WHEN request.is_oldest_first THEN '>' ELSE '<' END
        ) END
    );
BEGIN
    IF is_by_topic THEN
        RETURN format(
            'SELECT t.* FROM unnest(($1).topics) AS s (number) CROSS JOIN LATERAL (SELECT m.* FROM mqtt.mqtt_messages AS m '
            'WHERE m.topic_number = s.number AND m.received_at >= $2 AND m.received_at < $3%s) AS t '
            'ORDER BY t.received_at %2$s, t.position %2$s, t.id %2$s LIMIT $4', v_conditions, v_direction
        );
    END IF;
    -- One organization at a time is a condition of the index, several would be a filter of rows. + 0 hides a column from the other index.
    RETURN format(
        'SELECT t.* FROM unnest(($1).organizations) AS s (number) CROSS JOIN LATERAL (SELECT m.* FROM mqtt.mqtt_messages AS m '
        'WHERE m.organization = s.number%s AND m.received_at >= $2 AND m.received_at < $3%s '
        'ORDER BY m.received_at %3$s, m.position %3$s, m.id %3$s LIMIT $4) AS t '
        'ORDER BY t.received_at %3$s, t.position %3$s, t.id %3$s LIMIT $4',
        CASE WHEN request.is_restricted THEN ' AND m.topic_number + 0 = ANY (($1).topics)' ELSE '' END,
        v_conditions, v_direction
    );
END;
$$;
COMMENT ON FUNCTION mqtt.messages_sql(mqtt.message_request, boolean) IS
'The query for the messages that a request ($1) selects from $2 until before $3, at most $4, with only the conditions that it has: in the order of time, or all of their topics sorted.';

CREATE OR REPLACE FUNCTION mqtt.has_few_messages(topics integer [], since timestamptz, until timestamptz, few integer) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    RETURN (
        SELECT count(*) < few
        FROM (
            SELECT
            FROM unnest(topics) AS s (number)
            CROSS JOIN LATERAL (
                SELECT
                FROM mqtt.history AS h
                WHERE h.topic = s.number AND h.received_at >= since AND h.received_at < until
                LIMIT few
            ) AS t
            LIMIT few
        ) AS x
    );
END;
$$;
COMMENT ON FUNCTION mqtt.has_few_messages(integer [], timestamptz, timestamptz, integer) IS
'Whether topics have fewer messages than that in a range; looks at no more.';

CREATE OR REPLACE FUNCTION mqtt.messages(request mqtt.message_request) RETURNS SETOF mqtt.mqtt_messages
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- Compiling the plan for every partition takes longer than running it.
SET jit = off
SET enable_sort = on
AS $$
DECLARE
    v_since timestamptz := coalesce(request.since, '-infinity');
    v_until timestamptz := coalesce(request.until, 'infinity');
    v_days integer := 1;
    v_from timestamptz;
    v_to timestamptz;
    v_missing integer := request.most;
    v_found integer;
    v_is_by_topic boolean;
BEGIN
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
        -- Where topics have few messages, these are read and sorted; others soon turn up among all that came.
        v_is_by_topic := cardinality(request.topics) <= 5000 AND mqtt.has_few_messages(request.topics, v_from, v_to, 500 + v_missing);
        -- The planner overestimates how selective filters are, and would read and sort all to take the newest.
        PERFORM set_config('enable_sort', coalesce(v_is_by_topic, false)::text, true);
        RETURN QUERY EXECUTE mqtt.messages_sql(request, v_is_by_topic) USING request, v_from, v_to, v_missing;
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
GRANT EXECUTE ON FUNCTION mqtt.messages_sql(mqtt.message_request, boolean), mqtt.messages(mqtt.message_request),
mqtt.has_few_messages(integer [], timestamptz, timestamptz, integer), mqtt.check_message_request(text, text, text, integer) TO authenticated, service_role;

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
        v_organization_ids, list_messages.integration_id, v_device.id, list_messages.topic, mqtt.topic_filter_pattern(list_messages.filter)
    );
    v_request.is_restricted := coalesce(list_messages.integration_id::text, v_device.id::text, list_messages.topic, list_messages.filter) IS NOT NULL;
    v_request.is_oldest_first := coalesce(list_messages.oldest_first, false);
    SELECT list_messages.id, list_messages.direction, v_most, list_messages.stored_since
    INTO v_request.id, v_request.direction, v_request.most, v_request.stored_since;
    v_request.cursor_at := v_cursor.at;
    v_request.cursor_position := coalesce(mqtt.cursor_position(v_cursor), CASE WHEN v_request.is_oldest_first THEN 9223372036854775807 ELSE -1 END);
    v_request.cursor_id := v_cursor.id;
    SELECT r.* INTO v_range FROM mqtt.range_of_id(v_request.organizations, list_messages.id) AS r WHERE list_messages.id IS NOT NULL;
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
