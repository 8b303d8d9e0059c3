-- Verify topicbase:api_check_mqtt_ledger on pg
BEGIN;
SELECT mqtt.verify_function('api.check_mqtt_ledger()', true, 's', '{service_role}');
SELECT mqtt.verify_function('mqtt.check_ledger(boolean)', true, 's', '{}');
ROLLBACK;
