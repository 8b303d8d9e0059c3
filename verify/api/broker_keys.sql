-- Verify topicbase:api/broker_keys on pg
BEGIN;
SELECT mqtt.verify_function('api.generate_broker_key(text, uuid, text, text)', true, 'v', '{authenticated,service_role}');
SELECT mqtt.verify_function('api.get_broker_keys()', true, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('api.revoke_broker_key(uuid)', true, 'v', '{authenticated,service_role}');
ROLLBACK;
