-- Deploy topicbase:maintenance/roll_up_organization to pg
-- requires: maintenance/write_rollups
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.roll_up_devices(organization_id uuid, device_ids uuid [], since timestamptz, until timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    v_parts mqtt.rollup_part [];
BEGIN
    -- What came late is named and read at one moment, or it might be counted here and once more as late.
    SELECT array_agg(p) INTO v_parts
    FROM mqtt.reading_parts(ARRAY(
        SELECT ROW(roll_up_devices.organization_id, d.id, roll_up_devices.since, roll_up_devices.until, NULL, (
            SELECT array_agg(n.position)
            FROM mqtt.late_readings AS l
            CROSS JOIN LATERAL unnest(l.positions) AS n (position)
            WHERE l.organization_id = roll_up_devices.organization_id AND l.device_id = d.id AND l.hour = date_trunc('hour', roll_up_devices.since)
        ))::mqtt.reading_span
        FROM unnest(device_ids) AS d (id)
    ), NULL, '1 minute', 'UTC') AS p;
    PERFORM mqtt.write_rollups(organization_id, v_parts);
    IF until = date_trunc('day', until) THEN
        PERFORM mqtt.write_days(organization_id, device_ids, until - interval '24 hours');
    END IF;
    RETURN (SELECT coalesce(sum(p.n), 0) FROM unnest(v_parts) AS p);
END;
$$;
COMMENT ON FUNCTION mqtt.roll_up_devices(uuid, uuid [], timestamptz, timestamptz) IS
'Adds what these devices measured, in a part of an hour that is closed, to their rollups; makes those of the day that ends with it. Returns how many numbers.';

CREATE OR REPLACE FUNCTION mqtt.correct_rollups(progress mqtt.rollup_progress, device_id uuid, hour timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    v_until CONSTANT timestamptz := least(hour + interval '1 hour', mqtt.device_rolled_until(progress, device_id));
    v_is_whole CONSTANT boolean := hour - (SELECT greatest(c.max_time_ahead, '1 day') FROM mqtt.configuration AS c) >= progress.raw_since;
    v_late bigint [];
    v_firsts bigint [];
    v_emptied integer [];
    v_is_changed boolean;
    v_parts mqtt.rollup_part [];
BEGIN
    -- Without positions: readings have changed (mqtt.outdate_rollups).
    SELECT array_agg(DISTINCT l.first_position), coalesce(array_agg(n.position) FILTER (WHERE n.position IS NOT NULL), '{}'), bool_or(l.positions = '{}')
    INTO v_firsts, v_late, v_is_changed
    FROM mqtt.late_readings AS l
    LEFT JOIN LATERAL unnest(l.positions) AS n (position) ON true
    WHERE l.organization_id = progress.organization_id AND l.device_id = correct_rollups.device_id AND l.hour = correct_rollups.hour;
    -- What is not rolled up yet, will be together with the rest; what is past its term is not kept.
    IF v_until > hour AND hour >= progress.hours_since THEN
        IF v_is_whole THEN
            -- The day too, which may be left without a metric.
            WITH gone AS (
                DELETE FROM mqtt.rollups AS r
                USING mqtt.rollup_series AS s, (VALUES (1::smallint, hour), (24::smallint, date_trunc('day', hour))) AS x (hours, starts_at)
                WHERE s.organization_id = progress.organization_id AND s.device_id = correct_rollups.device_id
                    AND r.organization_id = s.organization_id AND r.series_id = s.id AND r.hours = x.hours AND r.starts_at = x.starts_at
                RETURNING r.series_id, r.hours
            )
            SELECT array_agg(g.series_id) INTO v_emptied FROM gone AS g WHERE g.hours = 1;
            DELETE FROM mqtt.rollup_minutes AS r
            USING mqtt.rollup_series AS s
            WHERE s.organization_id = progress.organization_id AND s.device_id = correct_rollups.device_id
                AND r.organization_id = s.organization_id AND r.series_id = s.id AND r.starts_at = hour;
            -- Names that a rule has given up no longer count among those that a device may have.
            DELETE FROM mqtt.rollup_series AS s
            WHERE v_is_changed AND s.organization_id = progress.organization_id AND s.device_id = correct_rollups.device_id AND s.id = ANY (v_emptied)
                AND NOT EXISTS (SELECT FROM mqtt.rollups AS r WHERE r.organization_id = s.organization_id AND r.series_id = s.id)
                AND NOT EXISTS (SELECT FROM mqtt.rollup_minutes AS r WHERE r.organization_id = s.organization_id AND r.series_id = s.id);
        END IF;
        SELECT array_agg(p) INTO v_parts
        FROM mqtt.reading_parts(
            ARRAY[ROW(progress.organization_id, device_id, hour, v_until, CASE WHEN NOT v_is_whole THEN v_late END, NULL)::mqtt.reading_span], NULL, '1 minute', 'UTC'
        ) AS p;
        PERFORM mqtt.write_rollups(progress.organization_id, v_parts);
        IF date_trunc('day', hour) + interval '24 hours' <= mqtt.device_rolled_until(progress, device_id) THEN
            PERFORM mqtt.write_days(progress.organization_id, ARRAY[device_id], date_trunc('day', hour));
        END IF;
    END IF;
    DELETE FROM mqtt.late_readings AS l
    WHERE l.organization_id = progress.organization_id AND l.device_id = correct_rollups.device_id AND l.hour = correct_rollups.hour
        AND l.first_position = ANY (v_firsts);
    RETURN (SELECT coalesce(sum(p.n), 0) FROM unnest(v_parts) AS p);
END;
$$;
COMMENT ON FUNCTION mqtt.correct_rollups(mqtt.rollup_progress, uuid, timestamptz) IS
'Takes a device''s late and changed readings of an hour into its rollups: makes them again, or adds those that are late where messages of that time may be gone. Returns how many numbers it read.';

CREATE OR REPLACE FUNCTION mqtt.correct_late_readings(progress mqtt.rollup_progress, most bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_late record;
    v_read bigint := 0;
BEGIN
    FOR v_late IN
        SELECT DISTINCT l.device_id, l.hour FROM mqtt.late_readings AS l WHERE l.organization_id = progress.organization_id ORDER BY l.device_id, l.hour
    LOOP
        EXIT WHEN v_read >= most;
        v_read := v_read + 100 + mqtt.correct_rollups(progress, v_late.device_id, v_late.hour);
    END LOOP;
    RETURN v_read;
END;
$$;
COMMENT ON FUNCTION mqtt.correct_late_readings(mqtt.rollup_progress, bigint) IS
'Corrects an organization''s rollups by its late readings, until about so many numbers have been read; returns how many, counting 100 for each device and hour besides.';

CREATE OR REPLACE FUNCTION mqtt.roll_up_organization(organization_id uuid, most bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    p mqtt.rollup_progress;
    v_devices uuid [];
    v_read bigint;
BEGIN
    SELECT r.* INTO p FROM mqtt.rollup_progress AS r WHERE r.organization_id = roll_up_organization.organization_id FOR UPDATE;
    v_read := mqtt.correct_late_readings(p, most);
    WHILE v_read < most LOOP
        IF p.rolling_until = p.rolled_until THEN
            EXIT WHEN p.rolled_until >= p.closed_until;
            p.rolling_until := least(date_trunc('hour', p.rolled_until) + interval '1 hour', p.closed_until);
        END IF;
        v_devices := ARRAY(
            SELECT d.id
            FROM mqtt.devices AS d
            WHERE d.organization_id = p.organization_id AND (p.rolled_device IS NULL OR d.id > p.rolled_device)
            ORDER BY d.id
            LIMIT 100
        );
        IF v_devices <> '{}' THEN
            v_read := v_read + cardinality(v_devices) + mqtt.roll_up_devices(p.organization_id, v_devices, p.rolled_until, p.rolling_until);
            p.rolled_device := v_devices[cardinality(v_devices)];
        END IF;
        IF cardinality(v_devices) < 100 THEN
            p.rolled_until := p.rolling_until;
            p.rolled_device := NULL;
        END IF;
    END LOOP;
    UPDATE mqtt.rollup_progress AS r
    SET rolled_until = p.rolled_until, rolling_until = p.rolling_until, rolled_device = p.rolled_device
    WHERE r.organization_id = p.organization_id AND (r.rolled_until, r.rolled_device) IS DISTINCT FROM (p.rolled_until, p.rolled_device);
    RETURN v_read;
END;
$$;
COMMENT ON FUNCTION mqtt.roll_up_organization(uuid, bigint) IS
'Rolls up the closed readings of an organization, span by span, 100 devices at a time, until about so many numbers have been read; goes on where it ended. Returns how many, counting one for each device and span besides.';
COMMIT;
