-- Revert topicbase:maintenance/retention from pg
BEGIN;
DROP FUNCTION mqtt.apply_retention(integer);
DROP FUNCTION mqtt.drop_expired_days();
DROP FUNCTION mqtt.expired_days();
DROP FUNCTION mqtt.note_retention();
COMMIT;
