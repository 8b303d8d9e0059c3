-- Verify topicbase:integrations/broker_url on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.broker_url(mqtt.device_integrations)', false, 's', '{authenticated,service_role}');
ROLLBACK;
