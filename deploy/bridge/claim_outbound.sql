-- Deploy topicbase:bridge/claim_outbound to pg
-- requires: base/configuration
-- requires: base/locks
-- requires: tables/bridges
-- requires: tables/outbound_batches
-- requires: tables/queues
-- requires: topics/names
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.claim_limits(bridge_id uuid, integration_ids uuid [], limits integer [], in_flight bigint [])
RETURNS TABLE (integration_id uuid, integration_number integer, n integer)
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT
        a.integration_id,
        a.integration_number::integer,
        -- Once a message was claimed twice by bridges that died, its integration's messages go one by one: so only a message that kills bridges uses up its attempts.
        CASE
            WHEN NOT EXISTS (SELECT FROM pgmq.q_mqtt_outbound AS q WHERE q.integration_id = a.integration_id AND q.attempts > 1) THEN a.n
            WHEN EXISTS (
                SELECT FROM pgmq.q_mqtt_outbound AS q WHERE q.integration_id = a.integration_id AND q.msg_id = ANY (claim_limits.in_flight)
            ) THEN 0
            ELSE 1
        END
    FROM unnest(claim_limits.integration_ids, claim_limits.limits) WITH ORDINALITY AS a (integration_id, n, integration_number)
    INNER JOIN mqtt.bridge_leases AS l ON l.integration_id = a.integration_id AND l.bridge_id = claim_limits.bridge_id;
END;
COMMENT ON FUNCTION mqtt.claim_limits(uuid, uuid [], integer [], bigint []) IS
'How many messages of each of these integrations the bridge may claim now; no row for one that it does not hold. A part of bridge.claim_outbound.';

CREATE OR REPLACE FUNCTION bridge.claim_outbound(bridge_id uuid, integration_ids uuid [], limits integer [], in_flight bigint [] DEFAULT '{}')
RETURNS TABLE (
    batch_id bigint, integration_number integer, msg_id bigint, attempts smallint, qos smallint, retain boolean, topic text, payload bytea,
    properties jsonb, expires_in integer, waited real, fault text
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    -- If the server crashes and loses these rows, a count of attempts is lost but no message, so the commit need not wait for the disk.
    PERFORM set_config('synchronous_commit', 'off', true);
    -- Cancelling and expiring wait until claims in progress are visible, and claims see what was cancelled or expired.
    PERFORM pg_advisory_xact_lock_shared(mqtt.outbound_lock(), 0);
    -- PL/pgSQL, because it keeps the plan, which saves more time than the rest takes.
    RETURN QUERY WITH asked AS (
        SELECT l.* FROM mqtt.claim_limits(claim_outbound.bridge_id, claim_outbound.integration_ids, claim_outbound.limits, claim_outbound.in_flight) AS l
    ), picked AS MATERIALIZED (
        SELECT a.integration_number, w.*
        FROM asked AS a
        CROSS JOIN LATERAL (
            SELECT q.organization_id, q.integration_id, q.vt, q.msg_id, q.attempts, q.expires_at, q.message, q.body
            FROM pgmq.q_mqtt_outbound AS q
            WHERE q.integration_id = a.integration_id AND q.vt <= clock_timestamp()
                AND q.msg_id NOT IN (SELECT f.msg_id FROM unnest(claim_outbound.in_flight) AS f (msg_id))
                AND (q.expires_at IS NULL OR q.expires_at > clock_timestamp())
            ORDER BY q.integration_id, q.vt, q.msg_id
            LIMIT a.n
        ) AS w
    ), journal AS (
        INSERT INTO mqtt.outbound_batches (organization_id, integration_id, bridge_id, msg_ids)
        SELECT p.organization_id, p.integration_id, claim_outbound.bridge_id, array_agg(p.msg_id)
        FROM picked AS p
        GROUP BY p.organization_id, p.integration_id
        RETURNING id, integration_id
    )
    SELECT
        j.id,
        p.integration_number,
        p.msg_id,
        p.attempts,
        coalesce((p.message ->> 'qos')::smallint, 0::smallint),
        coalesce((p.message ->> 'retain')::boolean, false),
        p.message ->> 'topic',
        coalesce(p.body, convert_to((p.message -> 'payload')::text, 'UTF8'), ''),
        nullif(p.message - '{topic,payload,qos,retain,message_expiry}'::text [], '{}'),
        -- A message_expiry may be twice as long as an integer is large.
        CASE WHEN p.expires_at IS NOT NULL THEN least(ceil(extract(epoch FROM p.expires_at - clock_timestamp())), 2147483647)::integer END,
        extract(epoch FROM clock_timestamp() - p.vt)::real,
        CASE
            -- After two, they go one by one: with fewer, whatever was claimed would be given up with the message that kills bridges.
            WHEN p.attempts >= (SELECT greatest(c.max_attempts, 3) FROM mqtt.configuration AS c)
                THEN format('Given up: it was handed out %s times and its bridge ended each time.', p.attempts)
            ELSE mqtt.outbound_topic_reason(p.message ->> 'topic')
        END
    FROM picked AS p
    JOIN journal AS j ON j.integration_id = p.integration_id
    ORDER BY p.integration_number, p.vt, p.msg_id;
END;
$$;
COMMENT ON FUNCTION bridge.claim_outbound(uuid, uuid [], integer [], bigint []) IS
'Messages due to be published, oldest first, at most limits[i] for integration_ids[i], without those in_flight. Because of its lease, only the caller can claim them, '
'so their rows are not touched: a claim is one row of outbound_batches per integration. A message with a fault must not be sent but settled as failed for that reason. waited: seconds since it was due.';
GRANT EXECUTE ON FUNCTION bridge.claim_outbound(uuid, uuid [], integer [], bigint []) TO mqtt_bridge;
COMMIT;
