-- Revert topicbase:tables/ended_filters from pg: its rows are lost.
BEGIN;
DROP TABLE mqtt.ended_filters;
COMMIT;
