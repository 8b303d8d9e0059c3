-- Deploy topicbase:tables/settled_messages to pg
-- requires: tables/history
-- requires: tables/settlements
-- requires: tables/stream_position
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.stream_head(organizations integer []) RETURNS SETOF mqtt.stream_position
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT
        o.organization,
        coalesce((SELECT s.number FROM mqtt.settlements AS s WHERE s.organization = o.organization AND NOT s.is_outgoing ORDER BY s.number DESC LIMIT 1), 0),
        coalesce((SELECT s.number FROM mqtt.settlements AS s WHERE s.organization = o.organization AND s.is_outgoing ORDER BY s.number DESC LIMIT 1), 0),
        0, 0
    FROM unnest(organizations) AS o (organization);
END;
COMMENT ON FUNCTION mqtt.stream_head(integer []) IS 'Of each organization, the position after all that is settled.';

CREATE OR REPLACE FUNCTION mqtt.unread_settlements(positions mqtt.stream_position [], most integer) RETURNS TABLE (
    organization integer, is_outgoing boolean, number bigint, settled_at timestamptz, first_at timestamptz, last_at timestamptz, first_position bigint,
    message_count integer, low_positions integer [], first_place integer, last_place integer
)
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT
        s.organization, s.is_outgoing, s.number, s.settled_at, s.first_at, s.last_at, s.first_position, s.message_count,
        -- Read into memory once, and not for each message.
        CASE WHEN s.low_positions IS NOT NULL THEN s.low_positions || '{}'::integer [] END, s.first_place, least(s.message_count, s.first_place + most - s.before::integer - 1)
    FROM unnest(positions) AS p
    CROSS JOIN LATERAL (VALUES (false, p.incoming, p.incoming_place), (true, p.outgoing, p.outgoing_place)) AS l (is_outgoing, number, place)
    CROSS JOIN LATERAL (
        SELECT x.*, sum(x.message_count - x.first_place + 1) OVER (ORDER BY x.number) - (x.message_count - x.first_place + 1) AS before
        FROM (
            SELECT s.*, CASE WHEN s.number = l.number THEN l.place + 1 ELSE 1 END AS first_place
            FROM mqtt.settlements AS s
            WHERE s.organization = p.organization AND s.is_outgoing = l.is_outgoing AND s.number >= l.number + (l.place = 0)::integer
            ORDER BY s.number
            LIMIT most
        ) AS x
    ) AS s
    WHERE s.before < most AND s.first_place <= s.message_count;
END;
COMMENT ON FUNCTION mqtt.unread_settlements(mqtt.stream_position [], integer) IS
'The settlements that come after each position, with so many messages in each direction at most: those from first_place to last_place.';

CREATE OR REPLACE FUNCTION mqtt.settled_messages(positions mqtt.stream_position [], most integer) RETURNS TABLE (
    organization integer, is_outgoing boolean, number bigint, place integer, incoming bigint, outgoing bigint, incoming_place integer,
    outgoing_place integer, settled_at timestamptz, is_missing boolean, message mqtt.history
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- As in mqtt.store_messages: by key, however the tables stood when the plan was made.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_mergejoin = off
SET jit = off
AS $$
BEGIN
    RETURN QUERY
    WITH unread AS MATERIALIZED (
        SELECT u.* FROM mqtt.unread_settlements(positions, most) AS u
    ),
    found AS MATERIALIZED (
        SELECT u.*, coalesce(m.place, u.last_place) AS place, m.message, count(m.place) OVER (PARTITION BY u.number) AS found_count
        FROM unread AS u
        LEFT JOIN LATERAL (
            SELECT x.place, x.message
            FROM (
                SELECT
                    h AS message, h.position,
                    CASE
                        WHEN u.low_positions IS NULL THEN (h.position - u.first_position + 1)::integer
                        ELSE width_bucket((h.position & 1073741823)::integer, u.low_positions)
                    END AS place
                FROM mqtt.history AS h
                WHERE h.organization = u.organization AND h.received_at >= u.first_at AND h.received_at <= u.last_at
                    AND (h.flags & 8 = 8) = u.is_outgoing AND h.position >> 30 = u.first_position >> 30
            ) AS x
            WHERE x.place BETWEEN u.first_place AND u.last_place
                AND (u.low_positions IS NULL OR u.low_positions[x.place] = x.position & 1073741823)
        ) AS m ON true
    ),
    -- What was published comes after what was received, and so after all of it that is read here.
    received AS MATERIALIZED (
        SELECT DISTINCT ON (u.organization) u.organization, u.number, u.last_place % u.message_count AS place
        FROM unread AS u
        WHERE NOT u.is_outgoing
        ORDER BY u.organization, u.number DESC
    )
    SELECT
        f.organization, f.is_outgoing, f.number, f.place,
        CASE WHEN f.is_outgoing THEN coalesce(r.number, p.incoming) ELSE f.number END,
        CASE WHEN f.is_outgoing THEN f.number ELSE p.outgoing END,
        CASE WHEN f.is_outgoing THEN coalesce(r.place, p.incoming_place) ELSE f.place % f.message_count END,
        CASE WHEN f.is_outgoing THEN f.place % f.message_count ELSE p.outgoing_place END,
        f.settled_at, f.found_count <= f.last_place - f.first_place, f.message
    FROM found AS f
    JOIN unnest(positions) AS p ON p.organization = f.organization
    LEFT JOIN received AS r ON r.organization = f.organization
    ORDER BY f.organization, f.is_outgoing, f.number, f.place;
END;
$$;
COMMENT ON FUNCTION mqtt.settled_messages(mqtt.stream_position [], integer) IS
'What was settled after these positions, one for each organization: in order, of each direction at most the first so many messages, with the position (incoming, outgoing and their places) after each. is_missing: the history no longer has all that is read of the settlement; id of message is null where it has none.';
COMMIT;
