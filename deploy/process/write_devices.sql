-- Deploy topicbase:process/write_devices to pg
-- requires: process/device_data
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.defer_device_news(news mqtt.device_news []) RETURNS mqtt.seen_device []
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- Further settings are those of mqtt.store_messages, which calls it.
AS $$
DECLARE
    v_known mqtt.seen_device [];
BEGIN
    WITH known AS MATERIALIZED (
        SELECT d.id, n.*
        FROM unnest(news) AS n
        CROSS JOIN LATERAL mqtt.known_device(n.organization_id, n.integration_id, n.external_id) AS d
    ),
    deferred AS (
        INSERT INTO mqtt.deferred_device_updates (organization_id, device_id, last_data, last_data_at, last_seen_at, latest, is_data_latest)
        SELECT k.organization_id, k.id, k.last_data, k.last_data_at, k.last_seen_at, k.latest, k.is_data_latest FROM known AS k
    )
    SELECT array_agg(ROW(k.id, k.integration_id, k.external_id)::mqtt.seen_device) INTO v_known FROM known AS k;
    RETURN v_known;
END;
$$;
COMMENT ON FUNCTION mqtt.defer_device_news(mqtt.device_news []) IS
'Notes what a batch tells of devices that are known, for mqtt.apply_deferred_updates; returns these devices. A part of mqtt.store_messages.';

CREATE OR REPLACE FUNCTION mqtt.register_devices(news mqtt.device_news []) RETURNS mqtt.seen_device []
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- Further settings are those of mqtt.store_messages, which calls it.
AS $$
DECLARE
    v_seen mqtt.seen_device [];
BEGIN
    WITH seen AS (
        INSERT INTO mqtt.devices AS d (organization_id, integration_id, external_id, last_data, last_data_at, last_seen_at, latest, is_data_latest)
        SELECT n.organization_id, n.integration_id, n.external_id, n.last_data, n.last_data_at, n.last_seen_at, n.latest, n.is_data_latest
        FROM unnest(news) AS n
        ORDER BY n.organization_id, n.integration_id, n.external_id
        -- Registered meanwhile by somebody else.
        ON CONFLICT (organization_id, integration_id, external_id) DO UPDATE SET
            last_data = mqtt.latest_data(d.last_data, d.last_data_at, excluded.last_data, excluded.last_data_at),
            latest = mqtt.told_latest(d, ROW(
                NULL, NULL, NULL, excluded.last_data, excluded.last_data_at, NULL, excluded.latest, NULL, excluded.is_data_latest
            )::mqtt.device_news),
            is_data_latest = mqtt.is_data_latest(d.is_data_latest, d.last_data_at, excluded.is_data_latest, excluded.last_data_at, excluded.latest),
            last_data_at = greatest(d.last_data_at, excluded.last_data_at),
            last_seen_at = greatest(d.last_seen_at, excluded.last_seen_at),
            presence = mqtt.presence_once_seen(d.presence, excluded.last_seen_at)
        RETURNING d.id, d.integration_id, d.external_id
    )
    SELECT array_agg(ROW(s.id, s.integration_id, s.external_id)::mqtt.seen_device) INTO v_seen FROM seen AS s;
    RETURN v_seen;
END;
$$;
COMMENT ON FUNCTION mqtt.register_devices(mqtt.device_news []) IS 'Registers devices with what a batch tells of them; returns them. A part of mqtt.store_messages.';

CREATE OR REPLACE FUNCTION mqtt.update_devices(news mqtt.device_news []) RETURNS mqtt.seen_device []
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- Further settings are those of mqtt.store_messages, which calls it. A hash join would read all devices.
SET enable_hashjoin = off
AS $$
DECLARE
    v_seen mqtt.seen_device [];
BEGIN
    WITH seen AS (
        UPDATE mqtt.devices AS d
        SET last_data = mqtt.latest_data(d.last_data, d.last_data_at, n.last_data, n.last_data_at),
            latest = CASE
                WHEN n.is_data_latest AND n.latest = '{}' AND (n.last_data_at < d.last_data_at) IS NOT TRUE
                    AND (
                        NOT d.is_data_latest OR mqtt.is_covered(d.last_data, n.last_data)
                        -- A time is not a metric, but something else may have been called so.
                        AND (NOT d.last_data ?| '{timestamp,ts}' OR NOT mqtt.data_of_payload(d.last_data, d.last_data_at) ?| '{timestamp,ts}')
                    ) THEN d.latest
                ELSE mqtt.told_latest(d, ROW(n.*)::mqtt.device_news)
            END,
            is_data_latest = mqtt.is_data_latest(d.is_data_latest, d.last_data_at, n.is_data_latest, n.last_data_at, n.latest),
            last_data_at = greatest(d.last_data_at, n.last_data_at),
            last_seen_at = greatest(d.last_seen_at, n.last_seen_at),
            presence = mqtt.presence_once_seen(d.presence, n.last_seen_at)
        -- In the order of the key, so that two workers cannot lock each other out.
        FROM (SELECT x.* FROM unnest(news) AS x ORDER BY x.organization_id, x.integration_id, x.external_id) AS n
        WHERE d.organization_id = n.organization_id AND d.integration_id = n.integration_id AND d.external_id = n.external_id
        RETURNING d.id, d.integration_id, d.external_id
    )
    SELECT array_agg(ROW(s.id, s.integration_id, s.external_id)::mqtt.seen_device) INTO v_seen FROM seen AS s;
    RETURN v_seen;
END;
$$;
COMMENT ON FUNCTION mqtt.update_devices(mqtt.device_news []) IS
'Brings devices that are known up to date with what a batch tells of them (newest data wins); returns these. A part of mqtt.store_messages.';

CREATE OR REPLACE FUNCTION mqtt.write_devices(news mqtt.device_news [], is_deferred boolean) RETURNS mqtt.seen_device []
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- Further settings are those of mqtt.store_messages, which calls it.
AS $$
DECLARE
    v_known mqtt.seen_device [];
BEGIN
    IF news IS NULL THEN
        RETURN NULL;
    END IF;
    v_known := CASE WHEN is_deferred THEN mqtt.defer_device_news(news) ELSE mqtt.update_devices(news) END;
    IF coalesce(cardinality(v_known), 0) < cardinality(news) THEN
        RETURN v_known || mqtt.register_devices(ARRAY(
            SELECT n
            FROM unnest(news) AS n
            LEFT JOIN unnest(v_known) AS k USING (integration_id, external_id)
            WHERE k.id IS NULL
        ));
    END IF;
    RETURN v_known;
END;
$$;
COMMENT ON FUNCTION mqtt.write_devices(mqtt.device_news [], boolean) IS
'Brings devices up to date with what a batch tells of them, or notes it where that is deferred; registers those that are new. Returns all of them. A part of mqtt.store_messages.';
COMMIT;
