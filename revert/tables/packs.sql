-- Revert topicbase:tables/packs from pg; loses the messages of packed days
BEGIN;
DROP TABLE mqtt.packs;
DROP TABLE mqtt.packed_days;
COMMIT;
