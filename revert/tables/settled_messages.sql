-- Revert topicbase:tables/settled_messages from pg
BEGIN;
DROP FUNCTION mqtt.settled_messages(mqtt.stream_position [], integer);
DROP FUNCTION mqtt.unread_settlements(mqtt.stream_position [], integer);
DROP FUNCTION mqtt.stream_head(integer []);
COMMIT;
