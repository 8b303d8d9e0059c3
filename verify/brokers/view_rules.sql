-- Verify topicbase:brokers/view_rules on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.is_valid_now(mqtt.mqtt_credentials)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.has_placeholder(text)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.admits_hash(text)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.verify_broker_view(regclass, text[])', false, 's', '{}');
ROLLBACK;
