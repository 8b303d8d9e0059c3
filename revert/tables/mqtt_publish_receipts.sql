-- Revert topicbase:tables/mqtt_publish_receipts from pg
BEGIN;
-- Loses the receipts.
DROP TABLE mqtt.mqtt_publish_receipts;
COMMIT;
