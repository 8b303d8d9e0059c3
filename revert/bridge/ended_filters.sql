-- Revert topicbase:bridge/ended_filters from pg
BEGIN;
DROP FUNCTION bridge.forget_filters(uuid, uuid [], text []);
DROP FUNCTION bridge.ended_filters(uuid);
COMMIT;
