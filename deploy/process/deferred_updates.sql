-- Deploy topicbase:process/deferred_updates to pg
-- requires: base/locks
-- requires: base/vacuum_holders
-- requires: process/device_data
-- requires: tables/mqtt_credentials
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.take_deferred_devices(noted_after timestamptz) RETURNS TABLE (
    organization_id uuid, device_id uuid, last_data jsonb, last_data_at timestamptz, last_seen_at timestamptz, latest jsonb, latest_since timestamptz
)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- Further settings are those of mqtt.apply_deferred_devices, which calls it. Planned while the table is empty, rows would be compared with each other.
SET enable_nestloop = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH taken AS (
        DELETE FROM mqtt.deferred_device_updates AS u
        WHERE u.noted_at > noted_after
        RETURNING u.*
    ),
    news AS MATERIALIZED (
        SELECT DISTINCT ON (t.organization_id, t.device_id)
            t.organization_id, t.device_id, t.last_data, t.last_data_at
        FROM taken AS t
        ORDER BY t.organization_id, t.device_id, t.last_data IS NOT NULL DESC, t.last_data_at DESC NULLS LAST, t.noted_at DESC
    ),
    seen AS MATERIALIZED (SELECT t.device_id, max(t.last_seen_at) AS last_seen_at FROM taken AS t GROUP BY t.device_id),
    -- Of each device whose last_data tells latest values, that of the newest row: mostly it has all metrics that the others have.
    newest AS MATERIALIZED (
        SELECT n.*, mqtt.metric_names(n.last_data) AS names
        FROM (
            SELECT DISTINCT ON (t.device_id) t.device_id, t.number, t.last_data
            FROM taken AS t
            WHERE t.is_data_latest
            ORDER BY t.device_id, t.last_data_at DESC, t.noted_at DESC, t.number DESC
        ) AS n
    ),
    telling AS MATERIALIZED (
        SELECT t.*
        FROM taken AS t
        LEFT JOIN newest AS n ON n.device_id = t.device_id
        WHERE t.latest <> '{}'
            OR t.is_data_latest AND (
                t.number = n.number
                OR NOT mqtt.has_only_metrics(t.last_data, n.names, n.last_data)
                -- A time is not a metric, but something else may have been called so.
                OR t.last_data ?| '{timestamp,ts}' AND mqtt.data_of_payload(t.last_data, t.last_data_at) ?| '{timestamp,ts}'
            )
    ),
    -- The last of a key wins.
    latest AS MATERIALIZED (
        SELECT
            t.device_id, min((e.value ->> 'at')::timestamptz) AS latest_since,
            jsonb_object_agg(e.key, e.value ORDER BY (e.value ->> 'at')::timestamptz, t.noted_at, t.number) AS latest
        FROM telling AS t
        CROSS JOIN LATERAL jsonb_each(mqtt.latest_values(t.latest, t.last_data, t.last_data_at, t.is_data_latest)) AS e
        GROUP BY t.device_id
    )
    SELECT n.organization_id, n.device_id, n.last_data, n.last_data_at, s.last_seen_at, coalesce(l.latest, '{}'), l.latest_since
    FROM news AS n
    JOIN seen AS s ON s.device_id = n.device_id
    LEFT JOIN latest AS l ON l.device_id = n.device_id;
END;
$$;
COMMENT ON FUNCTION mqtt.take_deferred_devices(timestamptz) IS
'Deletes what was deferred of devices after that time, and returns what it says of each: its newest payload, and the newest value of each metric. A part of mqtt.apply_deferred_devices.';

CREATE OR REPLACE FUNCTION mqtt.apply_deferred_devices(noted_after timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_devices bigint;
BEGIN
    -- In the workers' order. A device deleted meanwhile has no row.
    WITH device AS MATERIALIZED (
        SELECT d.id, n.*
        FROM mqtt.take_deferred_devices(noted_after) AS n
        JOIN mqtt.devices AS d ON d.organization_id = n.organization_id AND d.id = n.device_id
        ORDER BY d.organization_id, d.integration_id, d.external_id
        FOR NO KEY UPDATE OF d
    ),
    updated AS (
        UPDATE mqtt.devices AS d
        SET last_data = mqtt.latest_data(d.last_data, d.last_data_at, n.last_data, n.last_data_at),
            latest = mqtt.newest_values(mqtt.latest_of(d), d.last_data_at, n.latest, n.latest_since),
            is_data_latest = mqtt.is_data_latest(d.is_data_latest, d.last_data_at, false, n.last_data_at, n.latest),
            last_data_at = greatest(d.last_data_at, n.last_data_at),
            last_seen_at = greatest(d.last_seen_at, n.last_seen_at),
            presence = mqtt.presence_once_seen(d.presence, n.last_seen_at)
        FROM device AS n
        WHERE d.organization_id = n.organization_id AND d.id = n.id
        RETURNING d.organization_id, d.integration_id, d.external_id, d.id
    ),
    remembered AS (
        INSERT INTO mqtt.deferred_device_ids (organization_id, integration_id, external_id, device_id)
        SELECT u.* FROM updated AS u
        ON CONFLICT DO NOTHING
    )
    SELECT count(*) INTO v_devices FROM updated;
    RETURN v_devices;
END;
$$;
COMMENT ON FUNCTION mqtt.apply_deferred_devices(timestamptz) IS
'Brings devices up to date with what was deferred after that time, remembers their ids, and returns how many there were. A part of mqtt.apply_deferred_updates.';

CREATE OR REPLACE FUNCTION mqtt.apply_deferred_credentials(noted_after timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_credentials bigint;
BEGIN
    WITH taken AS (
        DELETE FROM mqtt.deferred_credential_updates AS u
        WHERE u.noted_at > noted_after
        RETURNING u.*
    ),
    credential AS MATERIALIZED (
        SELECT t.credential_id, sum(t.uses) AS uses, max(t.last_connected_at) AS last_connected_at FROM taken AS t GROUP BY t.credential_id
    )
    UPDATE mqtt.mqtt_credentials AS c
    SET connection_count = c.connection_count + n.uses, last_connected_at = greatest(c.last_connected_at, n.last_connected_at)
    FROM credential AS n
    WHERE c.id = ANY (ARRAY[n.credential_id]);
    GET DIAGNOSTICS v_credentials = ROW_COUNT;
    RETURN v_credentials;
END;
$$;
COMMENT ON FUNCTION mqtt.apply_deferred_credentials(timestamptz) IS
'Brings credentials up to date with what was deferred after that time, and returns how many there were. A part of mqtt.apply_deferred_updates.';

CREATE OR REPLACE FUNCTION mqtt.apply_deferred_updates(noted_after timestamptz DEFAULT '-infinity') RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_rows bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(mqtt.deferred_updates_lock(), 0) THEN
        RETURN 0;
    END IF;
    v_rows := mqtt.apply_deferred_devices(noted_after);
    v_rows := v_rows + mqtt.apply_deferred_credentials(noted_after);
    IF noted_after = '-infinity' THEN
        DELETE FROM mqtt.deferred_device_ids WHERE true;
    END IF;
    RETURN v_rows;
END;
$$;
COMMENT ON FUNCTION mqtt.apply_deferred_updates(timestamptz) IS
'Brings devices and credentials up to date with what was deferred after that time, and deletes it: one update a row. Remembers the devices'' ids, or with -infinity forgets them. Returns how many rows; 0 also while another session is at it.';

CREATE OR REPLACE FUNCTION mqtt.apply_due_updates() RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now CONSTANT timestamptz := clock_timestamp();
    v_applied_at CONSTANT timestamptz := coalesce(nullif(current_setting('topicbase.updates_applied_at', true), ''), '-infinity');
    v_was_deferred CONSTANT boolean := coalesce(nullif(current_setting('topicbase.is_update_deferred', true), ''), 'false');
    -- Dead rows alone are soon gone, and an old transaction alone does no harm.
    v_is_deferred CONSTANT boolean :=
        pg_stat_get_dead_tuples('mqtt.devices'::regclass) + pg_stat_get_dead_tuples('mqtt.mqtt_credentials'::regclass) > 2000
        AND EXISTS (SELECT FROM mqtt.vacuum_holders('1 second'));
    v_rows bigint;
BEGIN
    PERFORM set_config('topicbase.is_update_deferred', v_is_deferred::text, false);
    PERFORM set_config('topicbase.deferral_looked_at', v_now::text, false);
    -- Without a cause, once a minute for what other sessions left.
    IF v_is_deferred = v_was_deferred
        AND v_now BETWEEN v_applied_at AND v_applied_at + make_interval(secs => CASE WHEN v_is_deferred THEN 5 ELSE 60 END) THEN
        RETURN false;
    END IF;
    -- What was applied is dead, and would be read each time. Whose commit took longer than 10 seconds is found when vacuum is no longer held back.
    v_rows := mqtt.apply_deferred_updates(CASE WHEN v_is_deferred THEN v_applied_at - interval '10 seconds' ELSE '-infinity' END);
    PERFORM set_config('topicbase.updates_applied_at', v_now::text, false);
    RETURN v_rows > 0;
END;
$$;
COMMENT ON FUNCTION mqtt.apply_due_updates() IS
'Decides for this session whether rows of devices and credentials are updated with each batch or, while they have more than 2,000 dead versions that an old transaction keeps from vacuum, every 5 seconds (setting topicbase.is_update_deferred), and makes the updates that are due. True when it made some: the transaction then holds locks on rows, and should end before a batch takes its own. To be called once a second.';
COMMIT;
