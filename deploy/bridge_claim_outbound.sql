-- Deploy topicbase:bridge_claim_outbound to pg
-- requires: bridge_integrations
-- requires: message_ids
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE FUNCTION bridge.claim_outbound(bridge_id uuid, integration_ids uuid [], limits integer [], in_flight bigint [] DEFAULT '{}')
RETURNS TABLE (
    batch_id bigint, integration_number integer, msg_id bigint, attempts smallint, qos smallint, retain boolean, topic text, payload bytea,
    properties jsonb, expires_in integer, fault text
)
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    -- Losing the journal with the server loses a count of attempts, no message: no commit need wait for the disk.
    SELECT set_config('synchronous_commit', 'off', true);
    -- Whoever cancels or expires messages waits until the claims under way are seen, and claims see what is gone.
    SELECT pg_advisory_xact_lock_shared(1953460325, 0);
    WITH asked AS (
        SELECT a.integration_id, a.n, a.integration_number
        FROM unnest(claim_outbound.integration_ids, claim_outbound.limits) WITH ORDINALITY AS a (integration_id, n, integration_number)
        JOIN mqtt.bridge_leases AS l ON l.integration_id = a.integration_id AND l.bridge_id = claim_outbound.bridge_id
    ), waiting AS MATERIALIZED (
        SELECT
            a.integration_number,
            row_number() OVER in_order AS place,
            min(CASE WHEN w.attempts > 1 THEN w.msg_id END) OVER (PARTITION BY a.integration_number) IS NOT NULL AS has_suspect,
            w.*
        FROM asked AS a
        CROSS JOIN LATERAL (
            SELECT q.*
            FROM pgmq.q_mqtt_outbound AS q
            WHERE q.integration_id = a.integration_id AND q.vt <= clock_timestamp()
                AND q.msg_id NOT IN (SELECT f.msg_id FROM unnest(claim_outbound.in_flight) AS f (msg_id))
            ORDER BY q.integration_id, q.vt, q.msg_id
            LIMIT a.n
        ) AS w
        WHERE w.expires_at IS NULL OR w.expires_at > clock_timestamp()
        WINDOW in_order AS (PARTITION BY a.integration_number ORDER BY w.vt, w.msg_id)
    ), picked AS MATERIALIZED (
        -- Once a message was twice in the hands of a bridge that died, they go one by one: only one that kills bridges uses up its attempts.
        SELECT w.*
        FROM waiting AS w
        WHERE NOT w.has_suspect OR w.place = 1
    ), journal AS (
        INSERT INTO mqtt.outbound_batches (organization_id, integration_id, bridge_id, msg_ids)
        SELECT p.organization_id, p.integration_id, claim_outbound.bridge_id, array_agg(p.msg_id ORDER BY p.place)
        FROM picked AS p
        GROUP BY p.organization_id, p.integration_id
        RETURNING id, integration_id
    )
    SELECT
        j.id,
        p.integration_number::integer,
        p.msg_id,
        p.attempts,
        coalesce((p.message ->> 'qos')::smallint, 0::smallint),
        coalesce((p.message ->> 'retain')::boolean, false),
        p.message ->> 'topic',
        coalesce(p.body, convert_to((p.message -> 'payload')::text, 'UTF8'), ''),
        nullif(p.message - '{topic,payload,qos,retain,message_expiry}'::text [], '{}'),
        ceil(extract(epoch FROM p.expires_at - clock_timestamp()))::integer,
        CASE
            WHEN p.attempts >= c.max_attempts THEN format('Given up: it was handed out %s times and its bridge ended each time.', p.attempts)
            ELSE mqtt.topic_name_error(p.message ->> 'topic')
        END
    FROM picked AS p
    JOIN journal AS j ON j.integration_id = p.integration_id
    CROSS JOIN mqtt.configuration AS c
    ORDER BY p.integration_number, p.place;
$$;
COMMENT ON FUNCTION bridge.claim_outbound(uuid, uuid [], integer [], bigint []) IS
'Messages due to be published, oldest first, at most limits[i] for integration_ids[i], without those in_flight. The lease makes the caller the only taker, '
'so no row is touched: one journal row per integration is the claim. A message with a fault is not to be sent but settled as failed for that reason.';
GRANT EXECUTE ON FUNCTION bridge.claim_outbound(uuid, uuid [], integer [], bigint []) TO mqtt_bridge;
COMMIT;
