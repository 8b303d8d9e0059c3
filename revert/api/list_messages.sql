-- Revert topicbase:api/list_messages from pg
BEGIN;
DROP FUNCTION api.list_messages(uuid, uuid, text, text, text, uuid, text, timestamptz, timestamptz, text, integer, integer, boolean, timestamptz);
DROP FUNCTION mqtt.check_message_request(text, text, text, integer);
DROP FUNCTION mqtt.messages(mqtt.message_request);
DROP FUNCTION mqtt.has_few_messages(integer [], timestamptz, timestamptz, integer);
DROP FUNCTION mqtt.messages_sql(mqtt.message_request, boolean);
COMMIT;
