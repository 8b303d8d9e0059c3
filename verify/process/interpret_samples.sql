-- Verify topicbase:process/interpret_samples on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.interpret_samples(mqtt.arrived_sample [], uuid [], mqtt.raw_payload [])', false, 'v', '{}');
ROLLBACK;
