-- Revert topicbase:publish/publishing from pg
BEGIN;
DROP VIEW mqtt.publishing;
DROP FUNCTION mqtt.publish_inserted();
COMMIT;
