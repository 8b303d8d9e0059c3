-- Verify topicbase:ingest/message_rules on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.ingest_fault(text, integer, integer, text, text[], integer)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.option_fault(text, text, text, text)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.refuse_message(text, text, text, integer)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.fault_reason(text, text)', false, 'i', '{}');
ROLLBACK;
