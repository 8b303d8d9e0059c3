-- Verify topicbase:api/get_mqtt_publish_receipts on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.check_wait(numeric)', false, 'v', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.receipts_in_queue(uuid [])', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.publish_receipts(uuid [])', true, 'v', '{}');
SELECT mqtt.verify_function('api.get_mqtt_publish_receipts(uuid [], numeric)', true, 'v', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.may_wait(uuid)', true, 'v', '{authenticated,service_role}');
ROLLBACK;
