-- Verify topicbase:ingest_rules on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.topic_matches_any(text[], text)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.ingest_fault(text, integer, integer, text, text[], integer)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.refuse_message(text, text, text, integer)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.fault_text(text, text)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.try_timestamptz(text)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.try_base64(text)', false, 'i', '{authenticated,service_role}');
ROLLBACK;
