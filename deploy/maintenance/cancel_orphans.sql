-- Deploy topicbase:maintenance/cancel_orphans to pg
-- requires: publish/settle_outbound
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.cancel_orphans(most integer DEFAULT 10000) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off -- from one integration to the next by the index, however much is queued
AS $$
DECLARE
    v_orphans CONSTANT bigint [] := ARRAY(
        WITH RECURSIVE integration AS (
            (SELECT q.integration_id AS id FROM pgmq.q_mqtt_outbound AS q ORDER BY q.integration_id LIMIT 1)
            UNION ALL
            SELECT (
                SELECT q.integration_id FROM pgmq.q_mqtt_outbound AS q WHERE q.integration_id > i.id ORDER BY q.integration_id LIMIT 1
            )
            FROM integration AS i
            WHERE i.id IS NOT NULL
        )
        SELECT q.msg_id
        FROM (
            SELECT i.id
            FROM integration AS i
            WHERE i.id IS NOT NULL AND NOT EXISTS (SELECT FROM mqtt.device_integrations AS d WHERE d.id = i.id)
            OFFSET 0
        ) AS g
        CROSS JOIN LATERAL (SELECT x.msg_id FROM pgmq.q_mqtt_outbound AS x WHERE x.integration_id = g.id LIMIT most) AS q
        LIMIT most
    );
BEGIN
    IF v_orphans <> '{}' THEN
        PERFORM mqtt.settle_outbound(
            v_orphans, array_fill('cancelled'::text, ARRAY[cardinality(v_orphans)]), '{}',
            array_fill('The integration was deleted.'::text, ARRAY[cardinality(v_orphans)])
        );
    END IF;
    RETURN cardinality(v_orphans);
END;
$$;
COMMENT ON FUNCTION mqtt.cancel_orphans(integer) IS
'Settles as cancelled what is queued for an integration that is gone, at most so many messages: a call to publish that was not committed when the integration was deleted, so that the deletion did not see it. Returns how many.';
COMMIT;
