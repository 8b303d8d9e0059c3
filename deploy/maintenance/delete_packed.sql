-- Deploy topicbase:maintenance/delete_packed to pg
-- requires: tables/deletions
-- requires: tables/pack_rows
-- requires: topics/filters
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.delete_packed(deletion mqtt.deletions, most integer) RETURNS mqtt.deleted_row []
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_requested_at CONSTANT timestamptz := CASE deletion.kind WHEN 'messages' THEN deletion.requested_at ELSE 'infinity' END;
    v_pack record;
    v_gone mqtt.deleted_row [] := '{}';
BEGIN
    FOR v_pack IN
        SELECT p.number
        FROM mqtt.topics AS t
        CROSS JOIN LATERAL (
            SELECT x.number, x.run
            FROM mqtt.packs AS x
            WHERE x.topic = t.number AND x.first_received_at < v_requested_at
                AND CASE
                    WHEN deletion.by_received THEN x.last_received_at >= deletion.since AND x.first_received_at < deletion.until
                    ELSE x.last_measured_at >= deletion.since AND x.first_measured_at < deletion.until
                END
            OFFSET 0
        ) AS p
        CROSS JOIN mqtt.topic_filter_levels(deletion.filter) AS l
        WHERE t.organization_id = deletion.organization_id AND (deletion.integration_id IS NULL OR t.integration_id = deletion.integration_id)
            AND (deletion.device_id IS NULL OR t.device_id = deletion.device_id) AND (deletion.filter IS NULL OR mqtt.matched_levels(t.topic, l.topic_like, l.topic_levels) IS NOT NULL)
            -- Of a day that is being packed, the history has the rows.
            AND p.run <> ALL (ARRAY(SELECT u.run FROM mqtt.unread_runs AS u))
    LOOP
        EXIT WHEN cardinality(v_gone) >= most;
        v_gone := v_gone || ARRAY(
            SELECT ROW(h.topic, h.received_at, h.measured_at, h.id, true, h.flags & 264 = 0, h.flags & 72 = 0)::mqtt.deleted_row
            FROM mqtt.take_from_pack(v_pack.number, ARRAY(
                SELECT m.id
                FROM mqtt.messages_of_pack(v_pack.number) AS m
                WHERE m.received_at < v_requested_at
                    AND CASE WHEN deletion.by_received THEN m.received_at ELSE m.measured_at END >= deletion.since
                    AND CASE WHEN deletion.by_received THEN m.received_at ELSE m.measured_at END < deletion.until
            )) AS h
        );
    END LOOP;
    RETURN v_gone;
END;
$$;
COMMENT ON FUNCTION mqtt.delete_packed(mqtt.deletions, integer) IS
'Deletes what a deletion selects from packs, pack by pack, until about so many messages are deleted; returns them. What else is in a pack is packed again.';
COMMIT;
