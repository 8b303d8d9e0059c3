-- Deploy topicbase:bridge/claim_callbacks to pg
-- requires: bridge/callback_body
-- requires: tables/bridges
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.due_callbacks(bridge_id uuid, due_at timestamptz, busy_ids uuid [], busy_counts integer [])
RETURNS TABLE (organization_id uuid, id uuid, place bigint)
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    WITH busy AS (
        SELECT b.id, b.n FROM unnest(due_callbacks.busy_ids, due_callbacks.busy_counts) AS b (id, n)
    ), hook AS (
        SELECT
            s.organization_id, s.id, s.callback_ordered,
            -- After a circuit breaker was open, a single request shows whether it may close.
            CASE WHEN c.openings > 0 THEN 1 WHEN s.callback_ordered THEN 20 ELSE 8 END - coalesce(b.n, 0) AS room
        FROM mqtt.bridge_leases AS l
        INNER JOIN mqtt.mqtt_subscriptions AS s ON s.organization_id = l.organization_id AND s.integration_id = l.integration_id
        LEFT JOIN mqtt.callback_circuits AS c ON c.organization_id = s.organization_id AND c.url = s.callback_url
        LEFT JOIN busy AS b ON b.id = s.id
        WHERE l.bridge_id = due_callbacks.bridge_id AND s.callback_url IS NOT NULL AND s.callback_gone_at IS NULL AND NOT s.is_paused
            AND coalesce(c.open_until <= due_callbacks.due_at, true) AND NOT (s.callback_ordered AND coalesce(b.n, 0) > 0)
    )
    SELECT d.organization_id, d.id, d.place
    FROM hook AS h
    CROSS JOIN LATERAL (
        SELECT x.organization_id, x.id, row_number() OVER (ORDER BY x.due_at) AS place
        FROM mqtt.mqtt_callback_deliveries AS x
        WHERE NOT h.callback_ordered AND x.organization_id = h.organization_id AND x.subscription_id = h.id AND x.status = 'waiting'
            AND x.due_at <= due_callbacks.due_at
        ORDER BY x.due_at
        LIMIT greatest(h.room, 0)
    ) AS d
    UNION ALL
    -- In order: from the first one, up to the first that has to wait.
    SELECT d.organization_id, d.id, 1
    FROM hook AS h
    CROSS JOIN LATERAL (
        SELECT y.organization_id, y.id, bool_and(y.due_at <= due_callbacks.due_at) OVER (ORDER BY y.number) AS may
        FROM (
            SELECT x.organization_id, x.id, x.due_at, x.number
            FROM mqtt.mqtt_callback_deliveries AS x
            WHERE h.callback_ordered AND x.organization_id = h.organization_id AND x.subscription_id = h.id AND x.status = 'waiting'
            ORDER BY x.number
            LIMIT greatest(h.room, 0)
        ) AS y
    ) AS d
    WHERE d.may;
END;
COMMENT ON FUNCTION mqtt.due_callbacks(uuid, timestamptz, uuid [], integer []) IS
'Deliveries that are due, of the integrations that the bridge holds: of each subscription as many as may be in flight at once besides the busy ones, counted in place from 1. A part of bridge.claim_callbacks.';

CREATE OR REPLACE FUNCTION bridge.claim_callbacks(bridge_id uuid, room integer, busy_ids uuid [] DEFAULT '{}', busy_counts integer [] DEFAULT '{}')
RETURNS TABLE (
    organization_id uuid, id uuid, attempt smallint, subscription_id uuid, url text, is_ordered boolean, secrets jsonb, body text
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_now CONSTANT timestamptz := clock_timestamp();
BEGIN
    RETURN QUERY
    WITH due AS (
        SELECT d.* FROM mqtt.due_callbacks(claim_callbacks.bridge_id, v_now, claim_callbacks.busy_ids, claim_callbacks.busy_counts) AS d
    ), picked AS MATERIALIZED (
        SELECT d.organization_id, d.id
        FROM due AS d
        ORDER BY d.place
        LIMIT claim_callbacks.room
    ), claimed AS (
        UPDATE mqtt.mqtt_callback_deliveries AS d
        SET attempts = d.attempts + 1, attempted_at = clock_timestamp(), due_at = clock_timestamp() + interval '60 seconds',
            bridge_id = claim_callbacks.bridge_id
        FROM picked AS p
        WHERE d.organization_id = p.organization_id AND d.id = p.id AND d.status = 'waiting' AND d.due_at <= clock_timestamp()
        RETURNING d.*
    )
    SELECT
        d.organization_id, d.id, d.attempts, d.subscription_id, s.callback_url, s.callback_ordered,
        CASE
            WHEN k.previous_until > clock_timestamp() THEN jsonb_build_array(k.sealed, k.previous)
            WHEN k.sealed IS NOT NULL THEN jsonb_build_array(k.sealed)
        END,
        mqtt.callback_body(d, s)
    FROM claimed AS d
    JOIN mqtt.mqtt_subscriptions AS s ON s.organization_id = d.organization_id AND s.id = d.subscription_id
    LEFT JOIN mqtt.callback_secrets AS k ON k.organization_id = d.organization_id AND k.subscription_id = d.subscription_id
    ORDER BY d.number;
END;
$$;
COMMENT ON FUNCTION bridge.claim_callbacks(uuid, integer, uuid [], integer []) IS
'Requests to make, at most room of them, for the integrations that the bridge holds. busy: how many requests each subscription has in flight already. Each is one attempt, hidden for a minute; '
'those of an ordered subscription must be made one after the other, and the rest released after a failure. body is null if the message has left the history, and secrets if there are none.';
GRANT EXECUTE ON FUNCTION bridge.claim_callbacks(uuid, integer, uuid [], integer []) TO mqtt_bridge;
COMMIT;
