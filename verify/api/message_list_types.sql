-- Verify topicbase:api/message_list_types on pg
BEGIN;
SELECT 'mqtt.message_request'::regtype;
SELECT 'mqtt.listed_message'::regtype;
ROLLBACK;
