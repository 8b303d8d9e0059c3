-- Revert topicbase:brokers/note_ended_logins from pg
BEGIN;
DROP TRIGGER note_switched_off_logins ON mqtt.device_integrations;
DROP FUNCTION mqtt.note_switched_off_logins();
DROP TRIGGER note_deleted_logins ON mqtt.mqtt_credentials;
DROP FUNCTION mqtt.note_deleted_logins();
COMMIT;
