-- Revert topicbase:tables/mqtt_credentials from pg
BEGIN;
-- Loses the credentials: every device needs a new one.
DROP TABLE mqtt.mqtt_credentials;
COMMIT;
