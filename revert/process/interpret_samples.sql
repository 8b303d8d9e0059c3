-- Revert topicbase:process/interpret_samples from pg
BEGIN;
DROP FUNCTION mqtt.interpret_samples(mqtt.arrived_sample [], uuid [], mqtt.raw_payload []);
COMMIT;
