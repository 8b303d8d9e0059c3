-- Verify topicbase:integrations/credential_rules on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.topic_prefix_reason(text)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.filters_reason(text [], text)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.require_credential(uuid)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.credential_json(mqtt.mqtt_credentials)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.require_login_room(uuid)', true, 'v', '{}');
ROLLBACK;
