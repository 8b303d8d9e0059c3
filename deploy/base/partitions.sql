-- Deploy topicbase:base/partitions to pg
-- requires: base/configuration
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.partition_ranges(parent regclass) RETURNS TABLE (partition regclass, first_at timestamptz, end_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
    SELECT i.inhrelid, b.range[1]::timestamptz, b.range[2]::timestamptz
    FROM pg_catalog.pg_inherits AS i
    JOIN pg_catalog.pg_class AS k ON k.oid = i.inhrelid
    CROSS JOIN LATERAL regexp_match(pg_get_expr(k.relpartbound, k.oid), $r$FROM \('(.+)'\) TO \('(.+)'\)$r$) AS b (range)
    WHERE i.inhparent = parent AND b.range IS NOT NULL;
$$;
COMMENT ON FUNCTION mqtt.partition_ranges(regclass) IS 'The partitions of a table but the default one: from first_at to before end_at.';

CREATE OR REPLACE FUNCTION mqtt.partition_column(parent regclass) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT a.attname
    FROM pg_catalog.pg_partitioned_table AS p
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
    WHERE p.partrelid = parent;
$$;
COMMENT ON FUNCTION mqtt.partition_column(regclass) IS 'The column by which a table is partitioned.';

CREATE OR REPLACE FUNCTION mqtt.lock_table(target regclass, is_exclusive boolean) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '50ms'
AS $$
BEGIN
    FOR v_try IN 1..20 LOOP
        BEGIN
            IF is_exclusive THEN
                EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', target);
            ELSE
                EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', target);
            END IF;
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            IF v_try = 20 THEN
                RAISE;
            END IF;
        END;
        -- Whoever had to wait meanwhile goes first.
        PERFORM pg_sleep(0.05);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION mqtt.lock_table(regclass, boolean) IS
'Locks a table that messages go through, against all others or against writers, so that none waits for long: a waiting lock request blocks every later one, hence tries of 50 ms with pauses. Errors: 55P03 after 20.';

CREATE OR REPLACE FUNCTION mqtt.create_partition(parent regclass, day date) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '50ms'
AS $$
DECLARE
    v_parent CONSTANT text := (SELECT k.relname FROM pg_catalog.pg_class AS k WHERE k.oid = parent);
    v_name CONSTANT text := v_parent || to_char(day, '_YYYYMMDD');
    v_first CONSTANT timestamptz := day::timestamptz;
    v_end CONSTANT timestamptz := (day + 1)::timestamptz;
    v_is_used boolean;
BEGIN
    IF EXISTS (SELECT FROM mqtt.partition_ranges(parent) AS r WHERE r.first_at < v_end AND r.end_at > v_first) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE mqtt.%I (LIKE %s INCLUDING ALL)', v_name, parent);
    EXECUTE format('ALTER TABLE mqtt.%I ENABLE ROW LEVEL SECURITY', v_name);
    EXECUTE format('SELECT EXISTS (SELECT FROM mqtt.%I WHERE %I >= $1 AND %2$I < $2)', v_parent || '_default', mqtt.partition_column(parent))
    INTO v_is_used USING v_first, v_end;
    IF v_is_used OR day = (now() AT TIME ZONE 'UTC')::date THEN
        -- No row may come between the move and the attach.
        PERFORM mqtt.lock_table(parent, false);
        EXECUTE format(
            'WITH moved AS (DELETE FROM mqtt.%I WHERE %I >= $1 AND %2$I < $2 RETURNING *) INSERT INTO mqtt.%3$I SELECT * FROM moved',
            v_parent || '_default', mqtt.partition_column(parent), v_name
        ) USING v_first, v_end;
    END IF;
    EXECUTE format('ALTER TABLE %s ATTACH PARTITION mqtt.%I FOR VALUES FROM (%L) TO (%L)', parent, v_name, v_first, v_end);
    RETURN true;
END;
$$;
COMMENT ON FUNCTION mqtt.create_partition(regclass, date) IS
'Makes the partition of one UTC day, taking in what the default partition holds of it; false when there is one already. Errors: 55P03 when a lock is not to be had (mqtt.lock_table).';

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

CREATE OR REPLACE FUNCTION mqtt.expired_partitions(parent regclass, keep_days integer) RETURNS TABLE (partition regclass, row_count bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_found record;
BEGIN
    FOR v_found IN
        SELECT k.oid, k.reltuples
        FROM mqtt.partition_ranges(parent) AS r
        JOIN pg_catalog.pg_class AS k ON k.oid = r.partition
        WHERE (r.end_at AT TIME ZONE 'UTC')::date <= (now() AT TIME ZONE 'UTC')::date - keep_days
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
SET lock_timeout = '50ms'
AS $$
DECLARE
    v_partition regclass;
BEGIN
    FOREACH v_partition IN ARRAY partitions LOOP
        PERFORM mqtt.lock_table((SELECT i.inhparent FROM pg_catalog.pg_inherits AS i WHERE i.inhrelid = v_partition), true);
        EXECUTE format('DROP TABLE %s', v_partition);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION mqtt.drop_partitions(regclass []) IS
'Drops them. From the first on, their table is locked until the end of the transaction: so it comes last. Errors: 55P03 when a lock is not to be had (mqtt.lock_table).';
COMMIT;
