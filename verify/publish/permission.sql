-- Verify topicbase:publish/permission on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.outbound_fault(uuid, text, integer)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.refuse_outbound(text)', false, 's', '{}');
ROLLBACK;
