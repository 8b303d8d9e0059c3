-- Revert topicbase:integrations/find_device from pg
BEGIN;
DROP FUNCTION mqtt.find_device(text, text, uuid, uuid);
COMMIT;
