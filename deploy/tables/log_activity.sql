-- Deploy topicbase:tables/log_activity to pg
-- requires: tables/integration_activity_log
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.log_activity(
    organization_id uuid, integration_id uuid, activity_type text, status text DEFAULT 'success',
    details jsonb DEFAULT NULL, error_message text DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- PL/pgSQL, since it keeps the plan, and since Citus plans no SQL function with arguments.
    INSERT INTO mqtt.integration_activity_log (organization_id, integration_id, activity_type, status, details, error_message)
    VALUES (
        log_activity.organization_id, log_activity.integration_id, log_activity.activity_type, log_activity.status, log_activity.details,
        left(log_activity.error_message, 2000)
    );
END;
$$;
COMMENT ON FUNCTION mqtt.log_activity(uuid, uuid, text, text, jsonb, text) IS 'Writes one row of the activity log.';
COMMIT;
