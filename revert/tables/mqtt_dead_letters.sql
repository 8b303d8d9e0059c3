-- Revert topicbase:tables/mqtt_dead_letters from pg
BEGIN;
-- Loses the dead letters.
DROP TABLE mqtt.mqtt_dead_letters;
COMMIT;
