-- Deploy topicbase:tables/delete_rollups_later to pg
-- requires: tables/deletions
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.delete_rollups_later() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO mqtt.deletions (organization_id, kind, phase, requested_by)
    SELECT DISTINCT g.organization_id, 'rollups', 'rollups', mqtt.current_user_id()
    FROM gone AS g
    WHERE EXISTS (SELECT FROM mqtt.rollup_series AS s WHERE s.organization_id = g.organization_id AND s.device_id = g.id)
        AND NOT EXISTS (
            SELECT
            FROM mqtt.deletions AS d
            WHERE d.organization_id = g.organization_id AND d.state <> 'done' AND (d.device_id = g.id AND d.kind = 'device' OR d.kind IN ('organization', 'rollups'))
        );
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION mqtt.delete_rollups_later() IS
'Trigger: the rollups of deleted devices are left to maintenance, as one device may have millions.';
CREATE OR REPLACE TRIGGER delete_rollups_later AFTER DELETE ON mqtt.devices
REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION mqtt.delete_rollups_later();
COMMIT;
