-- Verify topicbase:base/plpython on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.plpython_obstacle(text)', false, 'v', '{}');
DO $$
BEGIN
    -- Untrusted is what it must be: a trusted one would let any role write server-side Python.
    IF EXISTS (SELECT FROM pg_catalog.pg_language WHERE lanname = 'plpython3u' AND lanpltrusted) THEN
        RAISE EXCEPTION 'plpython3u is marked as trusted';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_language WHERE lanname = 'plpython3u') THEN
        RAISE NOTICE 'The parts in PL/Python are absent, since %', mqtt.plpython_obstacle();
    END IF;
END;
$$;
ROLLBACK;
