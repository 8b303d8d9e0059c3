-- Deploy topicbase:api/message_queries to pg
-- requires: api/message_list_types
-- requires: tables/packed_order
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.messages_sql(request mqtt.message_request, is_by_topic boolean, is_packed boolean) RETURNS text
LANGUAGE plpgsql IMMUTABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_direction CONSTANT text := CASE WHEN request.is_oldest_first THEN 'ASC' ELSE 'DESC' END;
    v_conditions CONSTANT text := concat(
        CASE WHEN is_packed THEN ' AND m.is_packed AND m.last_received_at >= $2 AND m.first_received_at < $3' ELSE ' AND NOT m.is_packed' END,
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
            'WHERE m.topic_number = s.number AND m.received_at >= $2 AND m.received_at < $3%s%s) AS t '
            'ORDER BY t.received_at %3$s, t.position %3$s, t.id %3$s LIMIT $4', v_conditions,
            -- Apart, so that packs are found by their topic.
            CASE WHEN is_packed THEN ' OFFSET 0' ELSE '' END, v_direction
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
COMMENT ON FUNCTION mqtt.messages_sql(mqtt.message_request, boolean, boolean) IS
'The query for the messages that a request ($1) selects from $2 until before $3, at most $4, with only the conditions that it has: in the order of time, or all of their topics sorted; those that are packed, or those that are not.';

CREATE OR REPLACE FUNCTION mqtt.both_messages_sql(
    request mqtt.message_request, is_by_topic boolean, packed mqtt.message_request, is_packed_by_topic boolean
) RETURNS text
LANGUAGE plpgsql IMMUTABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN format(
        'SELECT u.* FROM ((%s) UNION ALL (%s)) AS u ORDER BY u.received_at %3$s, u.position %3$s, u.id %3$s LIMIT $4',
        mqtt.messages_sql(request, is_by_topic, false), replace(mqtt.messages_sql(packed, is_packed_by_topic, true), '($1)', '($5)'),
        CASE WHEN request.is_oldest_first THEN 'ASC' ELSE 'DESC' END
    );
END;
$$;
COMMENT ON FUNCTION mqtt.both_messages_sql(mqtt.message_request, boolean, mqtt.message_request, boolean) IS
'mqtt.messages_sql of those that are not packed and of those that are, for which the request is $5.';

CREATE OR REPLACE FUNCTION mqtt.has_few_messages(topics integer [], since timestamptz, until timestamptz, few integer) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
-- A bitmap of all that came on a day would be made to find a few hundred of them.
SET enable_bitmapscan = off
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    -- Whole days, since so much is read by topic, whose index does not know when a message was received.
    v_since CONSTANT timestamptz := date_trunc('day', since, 'UTC');
    v_until CONSTANT timestamptz := date_trunc('day', until - interval '1 microsecond', 'UTC') + interval '1 day';
BEGIN
    RETURN (
        SELECT count(*) < few
        FROM (
            SELECT
            FROM unnest(topics) AS s (number)
            CROSS JOIN LATERAL (
                SELECT
                FROM mqtt.history AS h
                WHERE h.topic = s.number AND h.received_at >= v_since AND h.received_at < v_until
                LIMIT few
            ) AS t
            LIMIT few
        ) AS x
    );
END;
$$;
COMMENT ON FUNCTION mqtt.has_few_messages(integer [], timestamptz, timestamptz, integer) IS
'Whether topics have fewer messages than that on the days of a range; looks at no more.';

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
    v_packed mqtt.message_request := request;
    v_is_packed_by_topic boolean;
    v_edge timestamptz;
    v_step integer := request.most;
BEGIN
    v_packed.topics := coalesce(request.packed_topics, request.topics);
    v_is_packed_by_topic := cardinality(v_packed.topics) <= 100;
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
        -- Of packed days so much as has about enough.
        v_edge := mqtt.packed_edge(
            request.organizations, CASE WHEN v_is_packed_by_topic THEN v_packed.topics END, v_from, v_to, request.is_oldest_first, v_step
        );
        v_from := CASE WHEN request.is_oldest_first THEN v_from ELSE greatest(v_from, v_edge) END;
        v_to := CASE WHEN request.is_oldest_first THEN least(v_to, v_edge + interval '1 microsecond') ELSE v_to END;
        -- Where topics have few messages, these are read and sorted; others soon turn up among all that came.
        v_is_by_topic := cardinality(request.topics) <= 5000 AND mqtt.has_few_messages(request.topics, v_from, v_to, 500 + v_missing);
        -- The planner overestimates how selective filters are, and would read and sort all to take the newest.
        PERFORM set_config('enable_sort', coalesce(v_is_by_topic, false)::text, true);
        RETURN QUERY EXECUTE CASE
            WHEN v_edge IS NULL THEN mqtt.messages_sql(request, v_is_by_topic, false)
            ELSE mqtt.both_messages_sql(request, v_is_by_topic, v_packed, v_is_packed_by_topic)
        END USING request, v_from, v_to, v_missing, v_packed;
        GET DIAGNOSTICS v_found = ROW_COUNT;
        v_missing := v_missing - v_found;
        EXIT WHEN v_missing <= 0 OR (v_from <= v_since AND v_to >= v_until);
        IF request.is_oldest_first THEN
            v_since := v_to;
        ELSE
            v_until := v_from;
        END IF;
        v_days := v_days * 4;
        v_step := CASE WHEN v_edge IS NULL THEN v_step ELSE least(v_step * 4, 100000) END;  -- no packs, no need of more
    END LOOP;
END;
$$;
COMMENT ON FUNCTION mqtt.messages(mqtt.message_request) IS
'The messages that a request selects among those that the caller sees, by when they were received and in the order of acceptance.';
GRANT EXECUTE ON FUNCTION mqtt.messages_sql(mqtt.message_request, boolean, boolean), mqtt.messages(mqtt.message_request),
mqtt.both_messages_sql(mqtt.message_request, boolean, mqtt.message_request, boolean),
mqtt.has_few_messages(integer [], timestamptz, timestamptz, integer) TO authenticated, service_role;
COMMIT;
