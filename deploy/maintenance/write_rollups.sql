-- Deploy topicbase:maintenance/write_rollups to pg
-- requires: tables/integration_activity_log
-- requires: tables/reading_parts
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.number_series(organization_id uuid, parts mqtt.rollup_part [], most integer) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_spoilt integer [];
BEGIN
    WITH metric AS MATERIALIZED (
        SELECT p.device_id, p.metric, bool_or(greatest(abs(p.lowest), abs(p.highest)) >= 1e30 OR scale(p.total) > 30) AS is_wide
        FROM unnest(parts) AS p
        GROUP BY p.device_id, p.metric
    ),
    fresh AS MATERIALIZED (
        SELECT
            m.*,
            octet_length(m.metric) <= 255 AND row_number() OVER (PARTITION BY m.device_id ORDER BY octet_length(m.metric) > 255, m.metric) + (
                SELECT count(*) FROM mqtt.rollup_series AS s WHERE s.organization_id = number_series.organization_id AND s.device_id = m.device_id
            ) <= most AS has_room
        FROM metric AS m
        WHERE NOT EXISTS (
            SELECT
            FROM mqtt.rollup_series AS s
            -- A device that has had too many gets no more: theirs would begin in the middle.
            WHERE s.organization_id = number_series.organization_id AND s.device_id = m.device_id AND (s.metric = m.metric OR s.metric IS NULL)
        )
    ),
    numbered AS (
        INSERT INTO mqtt.rollup_series (organization_id, device_id, metric, is_rolled)
        SELECT number_series.organization_id, f.device_id, f.metric, NOT f.is_wide FROM fresh AS f WHERE f.has_room
        UNION ALL
        SELECT DISTINCT number_series.organization_id, f.device_id, NULL::text, false FROM fresh AS f WHERE NOT f.has_room
        RETURNING *
    ),
    logged AS (
        INSERT INTO mqtt.integration_activity_log (organization_id, integration_id, activity_type, status, details)
        SELECT d.organization_id, d.integration_id, 'metrics_not_rolled_up', 'failed', jsonb_build_object('device_id', d.id, 'max_metrics', most)
        FROM numbered AS n
        JOIN mqtt.devices AS d ON d.organization_id = n.organization_id AND d.id = n.device_id
        WHERE n.metric IS NULL
    ),
    spoilt AS (
        UPDATE mqtt.rollup_series AS s
        SET is_rolled = false
        FROM metric AS m
        WHERE m.is_wide AND s.organization_id = number_series.organization_id AND s.device_id = m.device_id AND s.metric = m.metric AND s.is_rolled
        RETURNING s.id
    )
    SELECT array_agg(s.id) INTO v_spoilt FROM spoilt AS s;
    DELETE FROM mqtt.rollups AS r WHERE r.organization_id = number_series.organization_id AND r.series_id = ANY (v_spoilt);
    DELETE FROM mqtt.rollup_minutes AS r WHERE r.organization_id = number_series.organization_id AND r.series_id = ANY (v_spoilt);
END;
$$;
COMMENT ON FUNCTION mqtt.number_series(uuid, mqtt.rollup_part [], integer) IS
'Gives the metrics that are not rolled up yet their numbers, at most so many of a device; the activity log tells of those that have more. What has numbers of more than 30 digits is not rolled up any longer.';

CREATE OR REPLACE FUNCTION mqtt.write_hours(organization_id uuid, parts mqtt.rollup_part []) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
    INSERT INTO mqtt.rollups AS r (
        organization_id, series_id, hours, starts_at, first_at, last_at, n, total, lowest, highest, first_value, last_value, delta
    )
    SELECT
        s.organization_id, s.id, 1, p.hour, min(p.first_at), max(p.last_at), sum(p.n), sum(p.total), min(p.lowest), max(p.highest),
        max(p.first_value) FILTER (WHERE p.previous IS NULL), max(p.last_value) FILTER (WHERE p.following IS NULL),
        sum(p.delta + mqtt.counter_step(p.previous, p.first_value))
    FROM (
        SELECT u.*, date_trunc('hour', u.starts_at) AS hour, lag(u.last_value) OVER w AS previous, lead(u.last_value) OVER w AS following
        FROM unnest(parts) AS u
        WINDOW w AS (PARTITION BY u.device_id, u.metric, date_trunc('hour', u.starts_at) ORDER BY u.starts_at)
    ) AS p
    JOIN mqtt.rollup_series AS s ON s.organization_id = write_hours.organization_id AND s.device_id = p.device_id AND s.metric = p.metric AND s.is_rolled
    GROUP BY s.organization_id, s.id, p.hour
    ON CONFLICT (organization_id, series_id, hours, starts_at) DO UPDATE SET
        first_at = least(r.first_at, excluded.first_at), last_at = greatest(r.last_at, excluded.last_at),
        n = r.n + excluded.n, total = r.total + excluded.total, lowest = least(r.lowest, excluded.lowest), highest = greatest(r.highest, excluded.highest),
        first_value = CASE WHEN excluded.first_at < r.first_at THEN excluded.first_value ELSE r.first_value END,
        last_value = CASE WHEN excluded.last_at >= r.last_at THEN excluded.last_value ELSE r.last_value END,
        delta = CASE
            WHEN excluded.first_at >= r.last_at THEN r.delta + mqtt.counter_step(r.last_value, excluded.first_value) + excluded.delta
            WHEN excluded.last_at < r.first_at THEN excluded.delta + mqtt.counter_step(excluded.last_value, r.first_value) + r.delta
            -- Among what is known no more than as a sum: as if the counter had not been reset there.
            ELSE r.delta + CASE WHEN excluded.first_at < r.first_at THEN mqtt.counter_step(excluded.first_value, r.first_value) ELSE 0 END
                + CASE WHEN excluded.last_at >= r.last_at THEN mqtt.counter_step(r.last_value, excluded.last_value) ELSE 0 END
        END;
$$;
COMMENT ON FUNCTION mqtt.write_hours(uuid, mqtt.rollup_part []) IS
'Adds minutes to the rollups of their hours. What was accepted later counts as later where it was measured at the same time.';

CREATE OR REPLACE FUNCTION mqtt.write_minutes(organization_id uuid, parts mqtt.rollup_part []) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
    WITH fresh AS MATERIALIZED (
        SELECT s.id, date_trunc('hour', p.starts_at) AS hour, extract(MINUTE FROM p.starts_at)::smallint AS minute, p.*
        FROM unnest(parts) AS p
        JOIN mqtt.rollup_series AS s ON s.organization_id = write_minutes.organization_id AND s.device_id = p.device_id AND s.metric = p.metric AND s.is_rolled
    ),
    merged AS (
        SELECT
            x.id, x.hour, x.minute, sum(x.n)::integer AS n, sum(x.total) AS total, min(x.low) AS low, max(x.high) AS high,
            coalesce(max(x.first) FILTER (WHERE x.is_old), max(x.first)) AS first, coalesce(max(x.last) FILTER (WHERE NOT x.is_old), max(x.last)) AS last,
            sum(x.delta) AS delta
        FROM (
            SELECT f.id, f.hour, f.minute, f.n, f.total, f.lowest, f.highest, f.first_value, f.last_value, f.delta, false
            FROM fresh AS f
            UNION ALL
            SELECT
                m.series_id, m.starts_at, u.minute, coalesce(u.n, 1), u.total, coalesce(u.low, u.total), coalesce(u.high, u.total),
                coalesce(u.first, u.total), coalesce(u.last, u.total), coalesce(u.delta, 0), true
            FROM (SELECT DISTINCT f.id, f.hour FROM fresh AS f) AS f
            JOIN mqtt.rollup_minutes AS m ON m.organization_id = write_minutes.organization_id AND m.series_id = f.id AND m.starts_at = f.hour
            CROSS JOIN LATERAL unnest(m.minutes, m.totals, m.counts, m.lows, m.highs, m.firsts, m.lasts, m.deltas)
                AS u (minute, total, n, low, high, first, last, delta)
        ) AS x (id, hour, minute, n, total, low, high, first, last, delta, is_old)
        GROUP BY x.id, x.hour, x.minute
    ),
    packed AS (
        SELECT
            m.id, m.hour, max(m.n) > 1 AS is_more, array_agg(m.minute ORDER BY m.minute) AS minutes, array_agg(m.total ORDER BY m.minute) AS totals,
            array_agg(m.n ORDER BY m.minute) AS counts, array_agg(m.low ORDER BY m.minute) AS lows, array_agg(m.high ORDER BY m.minute) AS highs,
            array_agg(m.first ORDER BY m.minute) AS firsts, array_agg(m.last ORDER BY m.minute) AS lasts, array_agg(m.delta ORDER BY m.minute) AS deltas
        FROM merged AS m
        GROUP BY m.id, m.hour
    )
    INSERT INTO mqtt.rollup_minutes (organization_id, series_id, starts_at, minutes, totals, counts, lows, highs, firsts, lasts, deltas)
    SELECT
        write_minutes.organization_id, p.id, p.hour, p.minutes, p.totals, CASE WHEN p.is_more THEN p.counts END, CASE WHEN p.is_more THEN p.lows END,
        CASE WHEN p.is_more THEN p.highs END, CASE WHEN p.is_more THEN p.firsts END, CASE WHEN p.is_more THEN p.lasts END,
        CASE WHEN p.is_more THEN p.deltas END
    FROM packed AS p
    ON CONFLICT (organization_id, series_id, starts_at) DO UPDATE SET
        minutes = excluded.minutes, totals = excluded.totals, counts = excluded.counts, lows = excluded.lows, highs = excluded.highs,
        firsts = excluded.firsts, lasts = excluded.lasts, deltas = excluded.deltas;
$$;
COMMENT ON FUNCTION mqtt.write_minutes(uuid, mqtt.rollup_part []) IS
'Adds minutes to the rows of their hours. Where a minute is there already, its first value stays, and the new last value replaces its own.';

CREATE OR REPLACE FUNCTION mqtt.write_days(organization_id uuid, device_ids uuid [], day timestamptz) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO mqtt.rollups AS r (
        organization_id, series_id, hours, starts_at, first_at, last_at, n, total, lowest, highest, first_value, last_value, delta
    )
    SELECT
        h.organization_id, h.series_id, 24, day, min(h.first_at), max(h.last_at), sum(h.n), sum(h.total), min(h.lowest), max(h.highest),
        max(h.first_value) FILTER (WHERE h.previous IS NULL), max(h.last_value) FILTER (WHERE h.following IS NULL),
        sum(h.delta + mqtt.counter_step(h.previous, h.first_value))
    FROM (
        SELECT x.*, lag(x.last_value) OVER w AS previous, lead(x.last_value) OVER w AS following
        FROM mqtt.rollup_series AS s
        JOIN mqtt.rollups AS x ON x.organization_id = s.organization_id AND x.series_id = s.id
        WHERE s.organization_id = write_days.organization_id AND s.device_id = ANY (device_ids)
            AND x.hours = 1 AND x.starts_at >= day AND x.starts_at < day + interval '24 hours'
        WINDOW w AS (PARTITION BY x.series_id ORDER BY x.starts_at)
    ) AS h
    GROUP BY h.organization_id, h.series_id
    ON CONFLICT (organization_id, series_id, hours, starts_at) DO UPDATE SET
        first_at = excluded.first_at, last_at = excluded.last_at, n = excluded.n, total = excluded.total, lowest = excluded.lowest,
        highest = excluded.highest, first_value = excluded.first_value, last_value = excluded.last_value, delta = excluded.delta;
$$;
COMMENT ON FUNCTION mqtt.write_days(uuid, uuid [], timestamptz) IS 'Makes the rollups of a UTC day of these devices from those of its hours.';

CREATE OR REPLACE FUNCTION mqtt.write_rollups(organization_id uuid, parts mqtt.rollup_part []) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM mqtt.number_series(organization_id, parts, (SELECT c.max_metrics FROM mqtt.configuration AS c));
    PERFORM mqtt.write_hours(organization_id, parts);
    PERFORM mqtt.write_minutes(organization_id, parts);
END;
$$;
COMMENT ON FUNCTION mqtt.write_rollups(uuid, mqtt.rollup_part []) IS 'Adds the numbers of minutes to the rollups of hours and minutes.';
COMMIT;
