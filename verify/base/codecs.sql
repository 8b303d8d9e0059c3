-- Verify topicbase:base/codecs on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.codecs()', false, 'v', '{}');
DO $$
BEGIN
    IF (SELECT count(*) FROM mqtt.codecs()) <> 12 THEN
        RAISE EXCEPTION 'mqtt.codecs() must tell of ten decoders, transform and seal';
    END IF;
END;
$$;
ROLLBACK;
