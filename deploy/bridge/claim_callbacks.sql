-- Deploy topicbase:bridge/claim_callbacks to pg
-- requires: base/fair_share
-- requires: bridge/callback_bodies
-- requires: tables/bridges
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.callback_hooks(
    bridge_id uuid, due_at timestamptz, room integer, busy_ids uuid [], busy_counts integer [], quick_ids uuid []
) RETURNS TABLE (organization_id uuid, id uuid, is_ordered boolean, busy bigint, slots integer, room integer)
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT h.organization_id, h.id, h.is_ordered, h.busy, h.slots, h.room
    FROM (
        SELECT
            s.organization_id, s.id, s.callback_ordered AS is_ordered, s.callback_gone_at, s.is_paused, c.open_until, b.slots,
            s.id = ANY (callback_hooks.quick_ids) AS is_quick,
            sum(b.slots) OVER (PARTITION BY s.organization_id) AS busy,
            CASE
                WHEN s.callback_ordered THEN CASE WHEN b.n > 0 THEN 0 WHEN c.openings > 0 THEN 1 ELSE 20 END
                -- After a circuit breaker was open, a single request shows whether it may close; a slow receiver gets one at a time.
                ELSE CASE WHEN c.openings > 0 OR c.slow >= 5 THEN 1 WHEN s.id = ANY (callback_hooks.quick_ids) THEN 32 ELSE 8 END - b.n
            END AS room
        FROM mqtt.bridge_leases AS l
        INNER JOIN mqtt.mqtt_subscriptions AS s ON s.organization_id = l.organization_id AND s.integration_id = l.integration_id
        LEFT JOIN mqtt.callback_circuits AS c ON c.organization_id = s.organization_id AND c.url = s.callback_url
        LEFT JOIN unnest(callback_hooks.busy_ids, callback_hooks.busy_counts) AS u (id, n) ON u.id = s.id
        CROSS JOIN LATERAL (SELECT coalesce(u.n, 0) AS n, least(coalesce(u.n, 0), CASE WHEN s.callback_ordered THEN 1 ELSE 8 END) AS slots) AS b
        WHERE l.bridge_id = callback_hooks.bridge_id AND s.callback_url IS NOT NULL
    ) AS h
    WHERE h.room > 0 AND h.callback_gone_at IS NULL AND NOT h.is_paused AND coalesce(h.open_until <= callback_hooks.due_at, true)
        -- An organization that would get no slot even as the first in line is not looked through, unless it may keep the slots that it has.
        AND (
            mqtt.fair_share(h.busy + 1, 1, callback_hooks.room)
            OR h.is_quick AND h.slots = 8 AND mqtt.fair_share(h.busy, 0, callback_hooks.room)
        );
END;
COMMENT ON FUNCTION mqtt.callback_hooks(uuid, timestamptz, integer, uuid [], integer [], uuid []) IS
'The subscriptions of the bridge''s integrations that something may be posted for now: how many slots their organization has in use (busy), and each of them (slots), and how many more deliveries of each may be claimed. A part of bridge.claim_callbacks.';

CREATE OR REPLACE FUNCTION mqtt.due_callbacks(
    bridge_id uuid, due_at timestamptz, room integer, busy_ids uuid [], busy_counts integer [], quick_ids uuid []
) RETURNS TABLE (organization_id uuid, id uuid)
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    WITH hook AS (
        SELECT h.*
        FROM mqtt.callback_hooks(
            due_callbacks.bridge_id, due_callbacks.due_at, due_callbacks.room, due_callbacks.busy_ids, due_callbacks.busy_counts,
            due_callbacks.quick_ids
        ) AS h
    ), candidate AS (
        SELECT d.organization_id, d.id, h.id AS subscription_id, h.busy, d.due_at, d.place
        FROM hook AS h
        CROSS JOIN LATERAL (
            SELECT y.organization_id, y.id, y.place, min(y.due_at) OVER (PARTITION BY y.place) AS due_at
            FROM (
                -- Each takes a slot of its own, up to eight; what is claimed beyond these comes with the last one, or needs none.
                SELECT x.organization_id, x.id, x.due_at, least(row_number() OVER (ORDER BY x.due_at), 8 - h.slots) AS place
                FROM mqtt.mqtt_callback_deliveries AS x
                WHERE NOT h.is_ordered AND x.organization_id = h.organization_id AND x.subscription_id = h.id AND x.status = 'waiting'
                    AND x.due_at <= due_callbacks.due_at
                ORDER BY x.due_at
                LIMIT h.room
            ) AS y
        ) AS d
        UNION ALL
        -- In order: from the first one, up to the first that has to wait. They take one slot together.
        SELECT d.organization_id, d.id, h.id, h.busy, d.due_at, 1
        FROM hook AS h
        CROSS JOIN LATERAL (
            SELECT
                y.organization_id, y.id, min(y.due_at) OVER () AS due_at,
                bool_and(y.due_at <= due_callbacks.due_at) OVER (ORDER BY y.number) AS may
            FROM (
                SELECT x.organization_id, x.id, x.due_at, x.number
                FROM mqtt.mqtt_callback_deliveries AS x
                WHERE h.is_ordered AND x.organization_id = h.organization_id AND x.subscription_id = h.id AND x.status = 'waiting'
                ORDER BY x.number
                LIMIT h.room
            ) AS y
        ) AS d
        WHERE d.may
    ), leveled AS (
        SELECT c.*, c.busy + dense_rank() OVER (PARTITION BY c.organization_id ORDER BY c.place, c.due_at, c.subscription_id) AS level
        FROM candidate AS c
        WHERE c.place > 0
    ), placed AS (
        SELECT v.*, dense_rank() OVER (ORDER BY v.level, v.due_at, v.organization_id) AS slot
        FROM leveled AS v
    )
    SELECT p.organization_id, p.id
    FROM placed AS p
    WHERE mqtt.fair_share(p.level::bigint, p.slot, due_callbacks.room)
    UNION ALL
    SELECT c.organization_id, c.id
    FROM candidate AS c
    WHERE c.place = 0;
END;
COMMENT ON FUNCTION mqtt.due_callbacks(uuid, timestamptz, integer, uuid [], integer [], uuid []) IS
'Deliveries to claim: of each organization for as many slots as its fair share of room allows, and of each subscription as many as may be claimed at once besides the busy ones. A part of bridge.claim_callbacks.';

CREATE OR REPLACE FUNCTION bridge.claim_callbacks(
    bridge_id uuid, room integer, busy_ids uuid [] DEFAULT '{}', busy_counts integer [] DEFAULT '{}', quick_ids uuid [] DEFAULT '{}'
) RETURNS TABLE (
    organization_id uuid, id uuid, attempt smallint, subscription_id uuid, url text, is_ordered boolean, secrets jsonb, body text
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- As in mqtt.due_messages: what is due by the index, however many deliveries there were when the plan was made.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_now CONSTANT timestamptz := clock_timestamp();
    v_claimed mqtt.mqtt_callback_deliveries [];
BEGIN
    WITH picked AS MATERIALIZED (
        SELECT d.organization_id, d.id
        FROM mqtt.due_callbacks(
            claim_callbacks.bridge_id, v_now, claim_callbacks.room, claim_callbacks.busy_ids, claim_callbacks.busy_counts,
            claim_callbacks.quick_ids
        ) AS d
    ), claimed AS (
        UPDATE mqtt.mqtt_callback_deliveries AS d
        SET attempts = d.attempts + 1, attempted_at = clock_timestamp(), due_at = clock_timestamp() + interval '60 seconds',
            bridge_id = claim_callbacks.bridge_id
        FROM picked AS p
        WHERE d.organization_id = p.organization_id AND d.id = p.id AND d.status = 'waiting' AND d.due_at <= clock_timestamp()
        RETURNING d.*
    )
    SELECT array_agg(ROW(d.*)::mqtt.mqtt_callback_deliveries) INTO v_claimed FROM claimed AS d;
    IF v_claimed IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT
        d.organization_id, d.id, d.attempts, d.subscription_id, s.callback_url, s.callback_ordered,
        CASE
            WHEN k.previous_until > clock_timestamp() THEN jsonb_build_array(k.sealed, k.previous)
            WHEN k.sealed IS NOT NULL THEN jsonb_build_array(k.sealed)
        END,
        b.body
    FROM unnest(v_claimed) AS d
    JOIN mqtt.mqtt_subscriptions AS s ON s.organization_id = d.organization_id AND s.id = d.subscription_id
    LEFT JOIN mqtt.callback_secrets AS k ON k.organization_id = d.organization_id AND k.subscription_id = d.subscription_id
    LEFT JOIN mqtt.callback_bodies(v_claimed) AS b ON b.organization_id = d.organization_id AND b.id = d.id
    ORDER BY d.number;
END;
$$;
COMMENT ON FUNCTION bridge.claim_callbacks(uuid, integer, uuid [], integer [], uuid []) IS
'Requests to make, for the integrations that the bridge holds, as many as the organizations'' fair shares of room (free slots) allow. busy: how many deliveries of each subscription are claimed already; they take at most eight slots. quick: those whose receiver answered the last one quickly: 32 of each may be claimed, so that the next one need not wait for a claim. Each is one attempt, hidden for a minute; '
'those of an ordered subscription must be made one after the other, and the rest released after a failure: together they take one slot. body is null if the message has left the history, and secrets if there are none.';
GRANT EXECUTE ON FUNCTION bridge.claim_callbacks(uuid, integer, uuid [], integer [], uuid []) TO mqtt_bridge;
COMMIT;
