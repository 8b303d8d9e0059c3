-- Deploy topicbase:maintenance/deletion_places to pg
-- requires: maintenance/delete_packed
-- requires: maintenance/delete_stored
-- requires: maintenance/follow_deletion
-- requires: maintenance/unused_topics
-- requires: tables/mqtt_dead_letters
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.organization_tables() RETURNS TABLE (relation regclass)
LANGUAGE sql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE owned AS (
        SELECT k.oid
        FROM pg_catalog.pg_class AS k
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.oid AND a.attname IN ('organization_id', 'organization') AND NOT a.attisdropped
        WHERE k.relnamespace IN ('mqtt'::regnamespace, 'pgmq'::regnamespace) AND k.relkind IN ('r', 'p') AND NOT k.relispartition
            -- mqtt.close_readings would make the row of rollup_progress again each time; it goes with the organization.
            AND k.relname NOT IN ('deletions', 'ledger', 'topics', 'history', 'packs', 'reading_rows', 'rollup_progress')
    ),
    depth AS (
        SELECT o.oid, 0 AS n FROM owned AS o
        UNION
        SELECT f.conrelid, d.n + 1
        FROM depth AS d
        JOIN pg_catalog.pg_constraint AS f ON f.confrelid = d.oid AND f.contype = 'f' AND f.conrelid <> f.confrelid AND f.conparentid = 0
        WHERE f.conrelid IN (SELECT o.oid FROM owned AS o)
    )
    SELECT d.oid::regclass FROM depth AS d GROUP BY d.oid ORDER BY max(d.n) DESC, d.oid::regclass::text;
$$;
COMMENT ON FUNCTION mqtt.organization_tables() IS
'The tables with rows of organizations, those that refer to others first; without the history, whose topics come last, the ledger and mqtt.deletions.';

CREATE OR REPLACE FUNCTION mqtt.deletion_places(kind text) RETURNS TABLE (place bigint, parent regclass, leaf regclass)
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT row_number() OVER (ORDER BY p.number, p.relation::text, l.ordinality), p.relation, l.leaf
    FROM (
        -- What is packed while a pass goes through the history is found among the packs of the same pass.
        VALUES (1::bigint, 'mqtt.history'::regclass), (2, 'mqtt.packs'), (2, 'mqtt.reading_rows')
        UNION ALL
        SELECT 3, 'mqtt.mqtt_dead_letters' WHERE deletion_places.kind <> 'organization'
        UNION ALL
        SELECT 3 + row_number() OVER (), t.relation FROM mqtt.organization_tables() AS t WHERE deletion_places.kind = 'organization'
        UNION ALL
        SELECT 1000, 'mqtt.topics' WHERE deletion_places.kind = 'organization'
    ) AS p (number, relation)
    CROSS JOIN LATERAL mqtt.leaf_tables(p.relation) WITH ORDINALITY AS l (leaf, ordinality)
    -- The rows of packed days that wait to be dropped are no messages any longer.
    WHERE NOT EXISTS (
        SELECT
        FROM mqtt.packed_days AS d
        JOIN mqtt.partition_ranges('mqtt.history') AS r ON r.first_at = d.day::timestamp AT TIME ZONE 'UTC'
        WHERE d.state = 'packed' AND r.partition = l.leaf
    );
END;
$$;
COMMENT ON FUNCTION mqtt.deletion_places(text) IS 'The tables and partitions that a deletion goes through, in order.';

CREATE OR REPLACE FUNCTION mqtt.deleted_rows(d mqtt.deletions) RETURNS bigint
LANGUAGE sql IMMUTABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT d.messages + d.readings + d.dead_letters + d.receipts + d.callbacks + d.rollups + d.others;
END;
COMMENT ON FUNCTION mqtt.deleted_rows(mqtt.deletions) IS 'How many rows a deletion has deleted so far.';

CREATE OR REPLACE FUNCTION mqtt.delete_of_leaf(d mqtt.deletions, parent regclass, leaf regclass, most integer) RETURNS mqtt.deletions
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_gone mqtt.deleted_row [];
    v_traces record;
    v_deleted bigint;
BEGIN
    IF parent IN ('mqtt.history'::regclass, 'mqtt.packs'::regclass, 'mqtt.reading_rows'::regclass) THEN
        v_gone := CASE parent
            WHEN 'mqtt.packs'::regclass THEN mqtt.delete_packed(d, most) ELSE mqtt.delete_stored(d, leaf, parent = 'mqtt.history'::regclass, most)
        END;
        IF v_gone <> '{}' AND d.kind <> 'organization' THEN
            SELECT t.receipts, t.callbacks INTO v_traces FROM mqtt.delete_traces(d.organization_id, v_gone) AS t;
            d.receipts := d.receipts + v_traces.receipts;
            d.callbacks := d.callbacks + v_traces.callbacks;
        END IF;
        IF v_gone <> '{}' AND d.kind = 'messages' THEN
            d.rollup_hours_kept := d.rollup_hours_kept + mqtt.remake_rollups(d, v_gone);
        END IF;
        IF parent <> 'mqtt.reading_rows'::regclass THEN
            d.messages := d.messages + cardinality(v_gone);
        ELSE
            d.readings := d.readings + cardinality(v_gone);
        END IF;
        RETURN d;
    ELSIF d.kind <> 'organization' THEN
        d.dead_letters := d.dead_letters + mqtt.delete_dead_letters(d, leaf, most);
        RETURN d;
    ELSIF parent = 'mqtt.topics'::regclass THEN
        v_deleted := mqtt.remove_topics(d.organization_id, ARRAY(SELECT t.number FROM mqtt.topics AS t WHERE t.organization_id = d.organization_id LIMIT most));
    ELSE
        EXECUTE format(
            'DELETE FROM %1$s AS x WHERE x.ctid = ANY (ARRAY(SELECT y.ctid FROM %1$s AS y WHERE y.%2$s LIMIT $2))', leaf, CASE
                WHEN EXISTS (SELECT FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = leaf AND a.attname = 'organization_id') THEN 'organization_id = $1'
                ELSE 'organization = (SELECT o.number FROM mqtt.organizations AS o WHERE o.id = $1)'
            END
        ) USING d.organization_id, most;
        GET DIAGNOSTICS v_deleted = ROW_COUNT;
    END IF;
    d.others := d.others + v_deleted;
    RETURN d;
END;
$$;
COMMENT ON FUNCTION mqtt.delete_of_leaf(mqtt.deletions, regclass, regclass, integer) IS
'Deletes what a deletion selects from a table or partition, at most this many rows, with what follows from it; counts it in the deletion.';

CREATE OR REPLACE FUNCTION mqtt.delete_in_places(d mqtt.deletions, most integer) RETURNS mqtt.deletions
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_place record;
    v_first bigint;
    v_before bigint;
    v_enough CONSTANT bigint := mqtt.deleted_rows(d) + most;
BEGIN
    SELECT p.place INTO v_first FROM mqtt.deletion_places(d.kind) AS p WHERE p.leaf::text = d.place;
    FOR v_place IN SELECT p.* FROM mqtt.deletion_places(d.kind) AS p WHERE p.place >= coalesce(v_first, 0) ORDER BY p.place LOOP
        v_before := mqtt.deleted_rows(d);
        d := mqtt.delete_of_leaf(d, v_place.parent, v_place.leaf, (v_enough - v_before)::integer);
        d.is_clean := d.is_clean AND mqtt.deleted_rows(d) = v_before;
        d.place := v_place.leaf::text;
        IF mqtt.deleted_rows(d) >= v_enough THEN
            RETURN d;
        END IF;
    END LOOP;
    -- Rows may have come meanwhile, or gone to another partition: what ends it is a pass that finds nothing.
    d.phase := CASE WHEN d.is_clean THEN CASE d.kind WHEN 'messages' THEN 'devices' ELSE 'rollups' END ELSE d.phase END;
    d.place := NULL;
    d.is_clean := true;
    RETURN d;
END;
$$;
COMMENT ON FUNCTION mqtt.delete_in_places(mqtt.deletions, integer) IS
'Goes on through the tables of a deletion until about so many rows are deleted; after a whole pass that found nothing, to the next phase.';
COMMIT;
