-- Deploy topicbase:process/process_heavy to pg
-- requires: process/process_batch
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.process_heavy(organization_id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_most CONSTANT integer := 250;
    v_tids tid [];
    v_left_since timestamptz;
    v_counts integer [] := '{0,0,0}';
    v_began timestamptz;
    v_is_large boolean;
    v_is_light boolean := false;
BEGIN
    IF process_heavy.organization_id = ANY (mqtt.out_of_time())
        OR NOT pg_try_advisory_xact_lock(mqtt.processing_lock(), hashtext(process_heavy.organization_id::text)) THEN
        RETURN jsonb_build_object('processed', 0, 'failed', 0, 'dead', 0, 'more', false);
    END IF;
    v_tids := ARRAY(
        SELECT x.tid
        FROM (
            SELECT q.ctid AS tid, q.vt, sum(q.message_count) OVER (ORDER BY q.vt ROWS UNBOUNDED PRECEDING) - q.message_count AS before
            FROM (
                SELECT m.ctid, m.vt, m.message_count
                FROM pgmq.q_mqtt_messages AS m
                WHERE m.organization_id = process_heavy.organization_id AND m.vt <= clock_timestamp()
                ORDER BY m.vt
                LIMIT v_most
            ) AS q
        ) AS x
        WHERE x.before < v_most
        ORDER BY x.vt
    );
    IF v_tids <> '{}' THEN
        v_began := clock_timestamp();
        SELECT s.counts, s.left_since, p.is_heavy INTO v_counts, v_left_since, v_is_large
        FROM mqtt.batch_parts(v_tids) AS p
        CROSS JOIN LATERAL mqtt.store_part(p.tids, p.ms, clock_timestamp() + interval '0.25 seconds') AS s;
        -- By what they took now, and 10 ms for a batch of any.
        v_is_light := NOT v_is_large
            AND extract(EPOCH FROM clock_timestamp() - v_began) * 1000 < 10 + 10 * greatest(1, v_counts[1] + v_counts[2] + v_counts[3]);
    END IF;
    RETURN jsonb_build_object(
        'processed', v_counts[1], 'failed', v_counts[2], 'dead', v_counts[3],
        'more', v_left_since IS NOT NULL OR cardinality(v_tids) >= v_most
    ) || CASE WHEN v_is_light THEN '{"is_light": true}' ELSE '{}' END::jsonb;
END;
$$;
COMMENT ON FUNCTION mqtt.process_heavy(uuid) IS
'Processes due messages of one organization, the oldest first, for about a quarter of a second. For those whose messages are much work each (mqtt.process_batch, elsewhere): nobody else waits for them. {"processed", "failed", "dead", "more"}, and "is_light" if its messages are not much work after all: then they are better off with everyone''s.';
COMMIT;
