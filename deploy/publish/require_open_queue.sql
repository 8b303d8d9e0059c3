-- Deploy topicbase:publish/require_open_queue to pg
-- requires: base/configuration
-- requires: base/refuse_for_now
-- requires: tenants/organizations
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.require_open_queue(organization_id uuid, queue text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_stop text := (
        SELECT CASE queue
            WHEN 'outbound' THEN coalesce(c.publish_pause, o.publish_pause, CASE WHEN o.moving_to IS NOT NULL THEN o.ingest_pause END)
            ELSE coalesce(c.ingest_pause, o.ingest_pause)
        END
        FROM mqtt.configuration AS c
        CROSS JOIN mqtt.organizations AS o
        WHERE o.id = require_open_queue.organization_id
    );
BEGIN
    IF v_stop IS NOT NULL THEN
        PERFORM mqtt.refuse_for_now('429', 'queue_paused', v_stop, 30);
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.require_open_queue(uuid, text) IS 'Raises 429 queue_paused while mqtt.check_capacity has closed that queue, ingest or outbound, for the organization, or this moves to another installation.';
COMMIT;
