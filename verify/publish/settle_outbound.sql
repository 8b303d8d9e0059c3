-- Verify topicbase:publish/settle_outbound on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.settle_outbound(bigint [], text [], smallint [], text [], uuid)', true, 'v', '{}');
ROLLBACK;
