-- Revert topicbase:membership from pg
BEGIN;
DROP POLICY members_read ON mqtt.organization_members;
DROP POLICY members_read ON mqtt.organizations;
DROP FUNCTION mqtt.current_organization_ids(boolean);
DROP FUNCTION mqtt.is_service();
DROP FUNCTION mqtt.current_user_id();
COMMIT;
