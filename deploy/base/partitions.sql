-- Deploy topicbase:base/partitions to pg
-- requires: base/configuration
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.create_partition(parent regclass, day date) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
-- A waiting lock request blocks every later one.
SET lock_timeout = '1s'
AS $$
DECLARE
    v_parent text := (SELECT relname FROM pg_catalog.pg_class WHERE oid = parent);
    v_name text := v_parent || to_char(day, '_YYYYMMDD');
    v_column text := (
        SELECT a.attname
        FROM pg_catalog.pg_partitioned_table AS p
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
        WHERE p.partrelid = parent
    );
BEGIN
    IF to_regclass(format('mqtt.%I', v_name)) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE mqtt.%I (LIKE %s INCLUDING ALL)', v_name, parent);
    EXECUTE format('ALTER TABLE mqtt.%I ENABLE ROW LEVEL SECURITY', v_name);
    -- Rows that came while no partition was ready wait in the default one; they must be out of it before the attach.
    EXECUTE format(
        'WITH moved AS (DELETE FROM mqtt.%I WHERE %I >= %L AND %2$I < %4$L RETURNING *) INSERT INTO mqtt.%5$I SELECT * FROM moved',
        v_parent || '_default', v_column, day::timestamptz, (day + 1)::timestamptz, v_name
    );
    EXECUTE format(
        'ALTER TABLE %s ATTACH PARTITION mqtt.%I FOR VALUES FROM (%L) TO (%L)', parent, v_name, day::timestamptz, (day + 1)::timestamptz
    );
    RETURN true;
END;
$$;
COMMENT ON FUNCTION mqtt.create_partition(regclass, date) IS
'Makes the partition of one UTC day, taking in what the default partition holds of it; false when it is there already.';

CREATE OR REPLACE FUNCTION mqtt.create_default_partition(parent regclass) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name text := (SELECT relname FROM pg_catalog.pg_class WHERE oid = parent) || '_default';
BEGIN
    EXECUTE format('CREATE TABLE mqtt.%I PARTITION OF %s DEFAULT', v_name, parent);
    EXECUTE format('ALTER TABLE mqtt.%I ENABLE ROW LEVEL SECURITY', v_name);
END;
$$;
COMMENT ON FUNCTION mqtt.create_default_partition(regclass) IS
'Makes the partition that takes rows of days that have none, so that late maintenance never costs a message.';

CREATE OR REPLACE FUNCTION mqtt.prepare_partitions() RETURNS integer
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT count(*) FILTER (WHERE mqtt.create_partition(p.partrelid, (now() AT TIME ZONE 'UTC')::date + d.ahead))::integer
    FROM mqtt.configuration AS c
    CROSS JOIN LATERAL generate_series(0, c.partitions_ahead) AS d (ahead)
    CROSS JOIN pg_catalog.pg_partitioned_table AS p
    JOIN pg_catalog.pg_class AS k ON k.oid = p.partrelid AND k.relnamespace = 'mqtt'::regnamespace;
$$;
COMMENT ON FUNCTION mqtt.prepare_partitions() IS 'Makes the missing partitions of today and the configured days ahead, of every partitioned table; returns how many.';

CREATE OR REPLACE FUNCTION mqtt.expired_partitions(parent regclass, keep_days integer) RETURNS TABLE (partition regclass, row_count bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_found record;
BEGIN
    FOR v_found IN
        SELECT k.oid, k.reltuples
        FROM pg_catalog.pg_inherits AS i
        JOIN pg_catalog.pg_class AS k ON k.oid = i.inhrelid
        WHERE i.inhparent = parent AND k.relname ~ '_[0-9]{8}$'
            AND to_date(right(k.relname, 8), 'YYYYMMDD') < (now() AT TIME ZONE 'UTC')::date - keep_days
        ORDER BY k.relname
    LOOP
        partition := v_found.oid;
        -- Counting a day of a busy installation would take minutes.
        IF v_found.reltuples < 0 OR pg_relation_size(v_found.oid) < 64 * 1024 * 1024 THEN
            EXECUTE format('SELECT count(*) FROM %s', partition) INTO row_count;
        ELSE
            row_count := v_found.reltuples;
        END IF;
        RETURN NEXT;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION mqtt.expired_partitions(regclass, integer) IS
'Partitions of days more than keep_days before today (UTC) and their rows: counted, beyond 64 MiB as VACUUM and ANALYZE last estimated them.';

CREATE OR REPLACE FUNCTION mqtt.drop_partitions(partitions regclass []) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1s'
AS $$
DECLARE
    v_partition regclass;
BEGIN
    FOREACH v_partition IN ARRAY partitions LOOP
        EXECUTE format('DROP TABLE %s', v_partition);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION mqtt.drop_partitions(regclass []) IS
'Drops them. From the first on, their table is locked until the end of the transaction: so it comes last. Errors: 55P03 when a lock is not to be had within a second.';
COMMIT;
