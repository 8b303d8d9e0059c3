-- Revert topicbase:tables/deletions from pg: its rows are lost.
BEGIN;
DROP TYPE mqtt.deleted_row;
DROP TABLE mqtt.deletions;
COMMIT;
