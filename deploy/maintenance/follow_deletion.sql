-- Deploy topicbase:maintenance/follow_deletion to pg
-- requires: base/pgmq
-- requires: maintenance/record_kept
-- requires: maintenance/write_rollups
-- requires: process/device_data
-- requires: tables/deletions
-- requires: tables/ledger
-- requires: tables/mqtt_callbacks
-- requires: tables/mqtt_publish_receipts
-- requires: tables/packed_order
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.delete_traces(organization_id uuid, gone mqtt.deleted_row [], OUT receipts bigint, OUT callbacks bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
BEGIN
    INSERT INTO mqtt.ledger AS l (organization_id, bucket, shard, deleted)
    SELECT delete_traces.organization_id, date_trunc('minute', g.received_at), mqtt.ledger_level_outcomes(), count(*)
    FROM unnest(gone) AS g
    WHERE g.is_message AND g.is_incoming
    GROUP BY 2
    ORDER BY 2
    ON CONFLICT ON CONSTRAINT ledger_pkey DO UPDATE SET deleted = l.deleted + excluded.deleted;
    DELETE FROM mqtt.mqtt_publish_receipts AS r
    USING unnest(gone) AS g
    WHERE g.is_message AND NOT g.is_incoming AND r.organization_id = delete_traces.organization_id AND r.queued_at = g.received_at AND r.id = g.id;
    GET DIAGNOSTICS receipts = ROW_COUNT;
    -- Deliveries are made when the message is stored. One of a message that was stored much later finds nothing to post.
    DELETE FROM mqtt.mqtt_callback_deliveries AS d
    USING unnest(gone) AS g
    WHERE g.is_message AND g.is_incoming AND d.organization_id = delete_traces.organization_id AND d.message_id = g.id
        AND d.created_at >= (SELECT min(x.received_at) FROM unnest(gone) AS x)
        AND d.created_at < (SELECT max(x.received_at) FROM unnest(gone) AS x) + interval '1 hour';
    GET DIAGNOSTICS callbacks = ROW_COUNT;
END;
$$;
COMMENT ON FUNCTION mqtt.delete_traces(uuid, mqtt.deleted_row []) IS
'Counts deleted messages in the ledger, and deletes the receipts and webhook deliveries that speak of them; returns how many.';

CREATE OR REPLACE FUNCTION mqtt.remake_rollups(deletion mqtt.deletions, gone mqtt.deleted_row []) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    v_kept bigint;
BEGIN
    WITH hours AS MATERIALIZED (
        SELECT x.device_id, x.hour, x.hour - greatest(c.max_time_ahead, '1 day') >= p.raw_since AS is_whole
        FROM (
            SELECT DISTINCT t.device_id, date_trunc('hour', g.measured_at) AS hour
            FROM unnest(gone) AS g
            JOIN mqtt.topics AS t ON t.number = g.topic
            JOIN mqtt.devices AS d ON d.organization_id = t.organization_id AND d.id = t.device_id
            WHERE g.is_reading AND t.role = 'telemetry'
        ) AS x
        JOIN mqtt.rollup_progress AS p ON p.organization_id = deletion.organization_id
        CROSS JOIN mqtt.configuration AS c
    ),
    marked AS (
        -- Without positions, as mqtt.outdate_rollups has them; once for an hour, which takes several batches.
        INSERT INTO mqtt.late_readings (organization_id, device_id, hour, first_position, first_at, last_at, positions)
        SELECT deletion.organization_id, h.device_id, h.hour, nextval('pgmq.q_mqtt_messages_msg_id_seq'), h.hour, h.hour, '{}'
        FROM hours AS h
        WHERE h.is_whole AND NOT EXISTS (
            SELECT
            FROM mqtt.late_readings AS l
            WHERE l.organization_id = deletion.organization_id AND l.device_id = h.device_id AND l.hour = h.hour AND l.positions = '{}'
        )
    )
    SELECT count(*) INTO v_kept
    FROM hours AS h
    WHERE NOT h.is_whole
        AND NOT (deletion.filter IS NULL AND NOT deletion.by_received AND h.hour >= deletion.since AND h.hour + interval '1 hour' <= deletion.until);
    RETURN v_kept;
END;
$$;
COMMENT ON FUNCTION mqtt.remake_rollups(mqtt.deletions, mqtt.deleted_row []) IS
'Has the rollups made again of the hours in which deleted readings were measured. Returns how many hours of devices cannot be, and are not deleted as a whole by mqtt.delete_rollups_within either.';

CREATE OR REPLACE FUNCTION mqtt.delete_rollups_within(deletion mqtt.deletions, device_id uuid, most integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    v_since CONSTANT timestamptz := date_trunc('hour', deletion.since + interval '1 hour' - interval '1 microsecond');
    v_until timestamptz;
    v_hours bigint;
    v_minutes bigint;
BEGIN
    -- Later hours are made again from what is left.
    SELECT least(date_trunc('hour', deletion.until), date_trunc('hour', p.raw_since + greatest(c.max_time_ahead, '1 day') + interval '1 hour')) INTO v_until
    FROM mqtt.rollup_progress AS p
    CROSS JOIN mqtt.configuration AS c
    WHERE p.organization_id = deletion.organization_id;
    IF deletion.filter IS NOT NULL OR deletion.by_received OR (v_since < v_until) IS NOT TRUE THEN
        RETURN 0;
    END IF;
    DELETE FROM mqtt.rollups AS r
    WHERE r.ctid = ANY (ARRAY(
        SELECT x.ctid
        FROM mqtt.rollup_series AS s
        JOIN mqtt.rollups AS x ON x.organization_id = s.organization_id AND x.series_id = s.id
        WHERE s.organization_id = deletion.organization_id AND s.device_id = delete_rollups_within.device_id
            AND x.starts_at > v_since - x.hours * interval '1 hour' AND x.starts_at < v_until
        LIMIT most
    ));
    GET DIAGNOSTICS v_hours = ROW_COUNT;
    DELETE FROM mqtt.rollup_minutes AS r
    WHERE r.ctid = ANY (ARRAY(
        SELECT x.ctid
        FROM mqtt.rollup_series AS s
        JOIN mqtt.rollup_minutes AS x ON x.organization_id = s.organization_id AND x.series_id = s.id
        WHERE s.organization_id = deletion.organization_id AND s.device_id = delete_rollups_within.device_id
            AND x.starts_at >= v_since AND x.starts_at < v_until
        LIMIT most
    ));
    GET DIAGNOSTICS v_minutes = ROW_COUNT;
    -- The days at both ends, of which hours are left.
    PERFORM mqtt.write_days(deletion.organization_id, ARRAY[device_id], e.day)
    FROM (SELECT DISTINCT date_trunc('day', x.at) AS day FROM (VALUES (v_since), (v_until)) AS x (at) WHERE isfinite(x.at)) AS e
    JOIN mqtt.rollup_progress AS p ON p.organization_id = deletion.organization_id
    WHERE greatest(v_hours, v_minutes) < most AND e.day + interval '24 hours' <= mqtt.device_rolled_until(p, device_id);
    PERFORM mqtt.record_kept(deletion, device_id, v_since, v_until) WHERE greatest(v_hours, v_minutes) < most;
    RETURN v_hours + v_minutes;
END;
$$;
COMMENT ON FUNCTION mqtt.delete_rollups_within(mqtt.deletions, uuid, integer) IS
'Deletes a device''s rollups of the hours of which a deletion takes every message, where they can no longer be made again: about this many; returns how many.';

CREATE OR REPLACE FUNCTION mqtt.may_be_deleted(deletion mqtt.deletions, at timestamptz) RETURNS boolean
LANGUAGE sql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        -- However long before: what was imported was measured at its timestamp.
        WHEN deletion.by_received THEN at < deletion.until + c.max_time_ahead
        ELSE at >= deletion.since AND at < deletion.until
    END
    FROM mqtt.configuration AS c;
$$;
COMMENT ON FUNCTION mqtt.may_be_deleted(mqtt.deletions, timestamptz) IS 'Whether a reading measured at that time may be among what a deletion takes.';

CREATE OR REPLACE FUNCTION mqtt.recent_readings(device mqtt.devices, most integer)
RETURNS TABLE (measured_at timestamptz, place bigint, payload jsonb, topic_number integer)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
BEGIN
    RETURN QUERY
    SELECT r.*
    FROM mqtt.topics AS t
    CROSS JOIN LATERAL (
        (
            SELECT m.measured_at, m.position AS place, m.payload, m.topic_number
            FROM mqtt.readings AS m
            WHERE NOT m.is_packed AND m.topic_number = t.number AND m.role = 'telemetry'
            ORDER BY m.measured_at DESC
            LIMIT most
        )
        UNION ALL
        SELECT m.measured_at, m.position, m.payload, m.topic_number
        FROM mqtt.packed_readings_of_topic(t.number, '-infinity', 'infinity', NULL, NULL, 'telemetry', NULL, NULL, most) AS m
    ) AS r
    WHERE t.device_id = device.id AND t.organization_id = device.organization_id AND t.role = 'telemetry'
    ORDER BY r.measured_at DESC, r.place DESC
    LIMIT most;
END;
$$;
COMMENT ON FUNCTION mqtt.recent_readings(mqtt.devices, integer) IS 'The newest telemetry of a device that is stored, at most this many readings.';

CREATE OR REPLACE FUNCTION mqtt.has_measured(device mqtt.devices, at timestamptz, metric text DEFAULT NULL, value jsonb DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
BEGIN
    RETURN EXISTS (
        SELECT
        FROM mqtt.topics AS t
        CROSS JOIN LATERAL (
            SELECT r.payload
            FROM mqtt.readings AS r
            WHERE r.topic_number = t.number AND r.measured_at = has_measured.at
                AND r.first_measured_at <= has_measured.at AND r.last_measured_at >= has_measured.at
            OFFSET 0
        ) AS m
        LEFT JOIN LATERAL mqtt.payload_metrics(m.payload) AS p ON has_measured.metric IS NOT NULL
        WHERE t.device_id = device.id AND t.organization_id = device.organization_id AND t.role = 'telemetry'
            AND (has_measured.metric IS NULL OR p.metric = has_measured.metric AND p.value = has_measured.value)
    );
END;
$$;
COMMENT ON FUNCTION mqtt.has_measured(mqtt.devices, timestamptz, text, jsonb) IS
'Whether telemetry of a device that was measured at that time is stored, with that value of a metric where one is named.';

CREATE OR REPLACE FUNCTION mqtt.refresh_latest(deletion mqtt.deletions, device_id uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    d mqtt.devices;
    v_recent jsonb;
    v_kept jsonb;
    v_last record;
    v_is_gone boolean;
BEGIN
    SELECT x.* INTO d FROM mqtt.devices AS x WHERE x.organization_id = deletion.organization_id AND x.id = refresh_latest.device_id FOR NO KEY UPDATE;
    -- Values of messages that are there are kept, others replaced by those of the newest that are left.
    SELECT jsonb_object_agg(p.metric, jsonb_build_object('value', p.value, 'at', r.measured_at) ORDER BY r.measured_at, r.place) INTO v_recent
    FROM mqtt.recent_readings(d, 1000) AS r
    CROSS JOIN LATERAL mqtt.payload_metrics(r.payload) AS p;
    SELECT jsonb_object_agg(e.key, e.value) INTO v_kept
    FROM jsonb_each(mqtt.latest_of(d)) AS e
    WHERE NOT mqtt.may_be_deleted(deletion, (e.value ->> 'at')::timestamptz)
        OR mqtt.has_measured(d, (e.value ->> 'at')::timestamptz, e.key, e.value -> 'value');
    v_is_gone := mqtt.may_be_deleted(deletion, d.last_data_at) IS NOT FALSE AND NOT mqtt.has_measured(d, d.last_data_at);
    SELECT r.measured_at, coalesce(m.payload, r.payload) AS payload INTO v_last
    FROM mqtt.recent_readings(d, 1) AS r
    LEFT JOIN LATERAL (
        SELECT x.payload
        FROM mqtt.mqtt_messages AS x
        WHERE x.topic_number = r.topic_number AND x.measured_at = r.measured_at AND x.position = r.place AND NOT x.is_interpreted
            AND x.first_measured_at <= r.measured_at AND x.last_measured_at >= r.measured_at
        OFFSET 0
    ) AS m ON true;
    UPDATE mqtt.devices AS x
    SET latest = coalesce(mqtt.merged_latest(coalesce(v_kept, '{}'), coalesce(v_recent, '{}')), '{}'),
        is_data_latest = false,
        last_data = CASE WHEN v_is_gone THEN v_last.payload ELSE x.last_data END,
        last_data_at = CASE WHEN v_is_gone THEN v_last.measured_at ELSE x.last_data_at END
    WHERE x.organization_id = d.organization_id AND x.id = d.id;
    -- What these say is in the history, and taken from there above.
    UPDATE mqtt.deferred_device_updates AS u
    SET last_data = NULL, last_data_at = NULL, latest = '{}', is_data_latest = false
    WHERE u.organization_id = d.organization_id AND u.device_id = d.id;
END;
$$;
COMMENT ON FUNCTION mqtt.refresh_latest(mqtt.deletions, uuid) IS
'Takes deleted values out of a device''s last_data and latest; in their place come those of the newest 1,000 readings left. To be called with the lock of who processes the organization (mqtt.lock_processing).';
COMMIT;
