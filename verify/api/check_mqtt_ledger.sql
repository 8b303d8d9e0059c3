-- Verify topicbase:api/check_mqtt_ledger on pg
BEGIN;
SELECT mqtt.verify_function('api.check_mqtt_ledger()', true, 's', '{service_role}');
ROLLBACK;
