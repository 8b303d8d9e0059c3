-- Revert topicbase:base/plpython from pg
BEGIN;
DROP FUNCTION mqtt.plpython_obstacle(text);
DO $$
BEGIN
    IF NOT EXISTS (
        SELECT
        FROM pg_catalog.pg_extension AS e
        INNER JOIN pg_catalog.pg_description AS d ON d.objoid = e.oid AND d.classoid = 'pg_catalog.pg_extension'::regclass
        WHERE e.extname = 'plpython3u' AND d.description LIKE '%installed for topicbase'
    ) THEN
        RETURN;
    END IF;
    BEGIN
        DROP EXTENSION plpython3u;
    EXCEPTION
        WHEN dependent_objects_still_exist THEN
            RAISE NOTICE 'The extension plpython3u stays, since other functions use it.';
    END;
END;
$$;
COMMIT;
