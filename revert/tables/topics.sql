-- Revert topicbase:tables/topics from pg
BEGIN;
-- Loses what the numbers in the history mean.
DROP TABLE mqtt.topic_counts;
DROP TABLE mqtt.topics;
COMMIT;
