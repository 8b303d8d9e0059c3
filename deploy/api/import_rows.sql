-- Deploy topicbase:api/import_rows to pg
-- requires: api/import_messages
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.import_rows(staging regclass, integration_id uuid, most integer DEFAULT 1000) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_messages json;
    v_answer jsonb;
BEGIN
    EXECUTE format(
        'WITH taken AS (DELETE FROM %1$s AS s WHERE s.ctid = ANY (ARRAY(SELECT x.ctid FROM %1$s AS x LIMIT $1)) RETURNING to_jsonb(s) AS row) '
        'SELECT json_agg((SELECT jsonb_object_agg(e.key, e.value) FROM jsonb_each(t.row) AS e WHERE e.value <> ''null'' OR e.key = ''payload'')) FROM taken AS t',
        staging
    ) INTO v_messages USING most;
    IF v_messages IS NULL THEN
        RETURN 0;
    END IF;
    v_answer := api.import_messages(integration_id, v_messages);
    IF v_answer -> 'rejected' <> '[]' THEN
        RAISE EXCEPTION 'import_invalid' USING
            ERRCODE = 'PT400',
            DETAIL = format(
                '%s of %s rows cannot be imported. The first: %s %s', jsonb_array_length(v_answer -> 'rejected'), json_array_length(v_messages),
                v_answer #>> '{rejected,0,message}', left(v_messages ->> (v_answer #>> '{rejected,0,index}')::integer, 500)
            ),
            HINT = 'Nothing of this call was imported. Correct or delete these rows and call it again.';
    END IF;
    RETURN json_array_length(v_messages);
END;
$$;
COMMENT ON FUNCTION mqtt.import_rows(regclass, uuid, integer) IS
'Imports rows of a staging table, whose columns have the names of the members of api.import_messages (payload as jsonb), and deletes them there: at most this many. Returns how many: 0 once it is empty. For whoever may become mqtt_owner. Raises PT400 import_invalid if one cannot be imported.';
COMMIT;
