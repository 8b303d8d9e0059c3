-- Revert topicbase:tenants/membership from pg
BEGIN;
DROP FUNCTION mqtt.current_organization_numbers();
DROP FUNCTION mqtt.current_organization_ids(boolean);
DROP FUNCTION mqtt.key_allows(uuid);
DROP FUNCTION mqtt.key_integration_ids();
DROP FUNCTION mqtt.current_key();
DROP FUNCTION mqtt.is_service();
DROP FUNCTION mqtt.current_user_id();
COMMIT;
