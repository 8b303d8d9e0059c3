-- Revert topicbase:bridge/integrations from pg
BEGIN;
DROP FUNCTION bridge.surplus_integrations(uuid);
DROP FUNCTION bridge.integrations(uuid, jsonb);
DROP FUNCTION bridge.release_integrations(uuid, uuid []);
DROP FUNCTION bridge.take_integrations(uuid);
DROP FUNCTION mqtt.surplus_of_organizations();
DROP FUNCTION mqtt.take_lease(uuid, uuid, uuid);
COMMIT;
