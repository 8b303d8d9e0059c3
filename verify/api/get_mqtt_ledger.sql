-- Verify topicbase:api/get_mqtt_ledger on pg
BEGIN;
SELECT mqtt.verify_function('api.get_mqtt_ledger(uuid, timestamptz, timestamptz, text)', false, 's', '{authenticated,service_role}');
ROLLBACK;
