-- Verify topicbase:publish/permission on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.outbound_limits(uuid)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.outbound_fault(boolean, text, integer, text, integer)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.refuse_outbound(text, text)', false, 's', '{}');
ROLLBACK;
