-- Revert topicbase:integrations/access from pg
BEGIN;
DROP FUNCTION mqtt.require_part(uuid, uuid);
DROP FUNCTION mqtt.require_scope_of_readings(uuid, uuid, boolean);
DROP FUNCTION mqtt.require_single_organization();
DROP FUNCTION mqtt.require_integration(uuid, uuid, boolean);
DROP FUNCTION mqtt.require_organization(uuid, boolean);
DROP FUNCTION mqtt.require_whole_organization();
DROP FUNCTION mqtt.require_admin(uuid);
DROP FUNCTION mqtt.is_operator();
COMMIT;
