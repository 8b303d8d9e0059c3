-- Deploy topicbase:api/check_mqtt_ledger to pg
-- requires: maintenance/check_ledger
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION api.check_mqtt_ledger() RETURNS TABLE (
    organization_id uuid, hour timestamptz, accepted bigint, completed bigint, dead bigint, expired bigint, queued bigint, difference bigint
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT * FROM mqtt.check_ledger()
    UNION ALL
    SELECT * FROM mqtt.check_stored(now() - interval '1 hour');
$$;
COMMENT ON FUNCTION api.check_mqtt_ledger() IS
$md$Prove that no accepted message was lost

Lists each organization and hour where the accepted messages are not all completed, dead, expired or still queued, with the difference; an
empty list proves that the ledger balances. Of this hour and the one before, also where the history has fewer messages than were completed.$md$;
GRANT EXECUTE ON FUNCTION api.check_mqtt_ledger() TO service_role;
COMMIT;
