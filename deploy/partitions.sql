-- Deploy topicbase:partitions to pg
-- requires: configuration
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE FUNCTION mqtt.create_partition(parent regclass, day date) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
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

CREATE FUNCTION mqtt.create_default_partition(parent regclass) RETURNS void
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
'Makes the partition that takes rows of days that have none, so that late upkeep never costs a message.';

CREATE FUNCTION mqtt.prepare_partitions() RETURNS integer
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

CREATE FUNCTION mqtt.drop_partitions(parent regclass, keep_days integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1s'
AS $$
DECLARE
    v_name text;
    v_names text [];
    v_rows bigint;
    v_total bigint := 0;
BEGIN
    v_names := ARRAY(
        SELECT k.relname
        FROM pg_catalog.pg_inherits AS i
        JOIN pg_catalog.pg_class AS k ON k.oid = i.inhrelid
        WHERE i.inhparent = parent AND k.relname ~ '_[0-9]{8}$'
            AND to_date(right(k.relname, 8), 'YYYYMMDD') < (now() AT TIME ZONE 'UTC')::date - keep_days
        ORDER BY k.relname
    );
    -- Counted before the first is dropped: from then on the whole table is locked.
    FOREACH v_name IN ARRAY v_names LOOP
        EXECUTE format('SELECT count(*) FROM mqtt.%I', v_name) INTO v_rows;
        v_total := v_total + v_rows;
    END LOOP;
    FOREACH v_name IN ARRAY v_names LOOP
        EXECUTE format('DROP TABLE mqtt.%I', v_name);
    END LOOP;
    RETURN v_total;
END;
$$;
COMMENT ON FUNCTION mqtt.drop_partitions(regclass, integer) IS
'Drops the partitions of days more than keep_days before today (UTC); returns the rows that went with them.';
COMMIT;
