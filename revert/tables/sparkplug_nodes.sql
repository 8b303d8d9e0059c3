-- Revert topicbase:tables/sparkplug_nodes from pg
BEGIN;
-- Loses the names of metrics that edge nodes gave at their birth: their data are unknown until the next one.
DROP TABLE mqtt.sparkplug_nodes;
COMMIT;
