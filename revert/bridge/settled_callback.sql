-- Revert topicbase:bridge/settled_callback from pg
BEGIN;
DROP TYPE mqtt.settled_callback;
COMMIT;
