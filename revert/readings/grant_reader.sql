-- Revert topicbase:readings/grant_reader from pg
BEGIN;
DROP FUNCTION mqtt.revoke_reader(name, uuid);
DROP FUNCTION mqtt.grant_reader(name, uuid);
DROP FUNCTION mqtt.reader_organization_ids();
COMMIT;
