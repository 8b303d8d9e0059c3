-- Revert topicbase:api/message_list_types from pg
BEGIN;
DROP TYPE mqtt.listed_message;
DROP TYPE mqtt.message_request;
COMMIT;
