-- Revert topicbase:bridge/callback_outcome from pg
BEGIN;
DROP TYPE mqtt.callback_outcome;
COMMIT;
