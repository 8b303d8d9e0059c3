-- Revert topicbase:publish/grant_publisher from pg
BEGIN;
DROP FUNCTION mqtt.revoke_publisher(name, uuid);
DROP FUNCTION mqtt.grant_publisher(name, uuid);
DROP FUNCTION mqtt.set_publisher_privileges(name, boolean);
COMMIT;
