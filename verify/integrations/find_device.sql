-- Verify topicbase:integrations/find_device on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.find_device(text, text, uuid, uuid)', false, 's', '{authenticated,service_role}');
ROLLBACK;
