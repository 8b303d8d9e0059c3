-- Verify topicbase:base/require_argument on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.require_argument(text, text)', false, 's', '{authenticated,service_role}');
ROLLBACK;
