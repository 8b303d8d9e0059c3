-- Verify topicbase:integrations/transform_reason on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.transform_reason(text)', true, 's', '{authenticated,service_role}');
ROLLBACK;
