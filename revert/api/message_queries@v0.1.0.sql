-- Revert topicbase:api/message_queries from pg
BEGIN;
DROP FUNCTION mqtt.messages(mqtt.message_request);
DROP FUNCTION mqtt.has_few_messages(integer [], timestamptz, timestamptz, integer);
DROP FUNCTION mqtt.both_messages_sql(mqtt.message_request, boolean, mqtt.message_request, boolean);
DROP FUNCTION mqtt.messages_sql(mqtt.message_request, boolean, boolean);
COMMIT;
