-- Verify topicbase:base/codecs on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.codecs()', false, 'v', '{}');
DO $$
BEGIN
    IF (SELECT count(*) FROM mqtt.codecs()) <> 11 THEN
        RAISE EXCEPTION 'mqtt.codecs() must tell of ten decoders and seal';
    END IF;
END;
$$;
ROLLBACK;
