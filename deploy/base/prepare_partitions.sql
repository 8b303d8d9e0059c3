-- Deploy topicbase:base/prepare_partitions to pg
-- requires: base/partitions
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.adopt_default_partition(parent regclass) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '50ms'
AS $$
DECLARE
    v_parent CONSTANT text := (SELECT k.relname FROM pg_catalog.pg_class AS k WHERE k.oid = parent);
    v_default CONSTANT text := v_parent || '_default';
    v_today CONSTANT date := (now() AT TIME ZONE 'UTC')::date;
    v_constraint text;
    v_first date;
    v_end date;
BEGIN
    SELECT c.conname, to_date(split_part(c.conname, '_', 2), 'YYYYMMDD'), to_date(split_part(c.conname, '_', 3), 'YYYYMMDD')
    INTO v_constraint, v_first, v_end
    FROM pg_catalog.pg_constraint AS c
    WHERE c.conrelid = format('mqtt.%I', v_default)::regclass AND c.conname LIKE 'adoptable\_%';
    IF v_constraint IS NOT NULL AND v_end > v_today + 2 THEN
        -- Reads the table without a lock that anybody waits for; then it fits its range without being read again.
        EXECUTE format('ALTER TABLE mqtt.%I VALIDATE CONSTRAINT %I', v_default, v_constraint);
        PERFORM mqtt.lock_table(parent, true);
        EXECUTE format('ALTER TABLE %s DETACH PARTITION mqtt.%I', parent, v_default);
        EXECUTE format('ALTER TABLE mqtt.%I RENAME TO %I', v_default, v_parent || to_char(v_end - 1, '_YYYYMMDD'));
        EXECUTE format(
            'ALTER TABLE %s ATTACH PARTITION mqtt.%I FOR VALUES FROM (%L) TO (%L)', parent, v_parent || to_char(v_end - 1, '_YYYYMMDD'),
            v_first::timestamptz, v_end::timestamptz
        );
        EXECUTE format('ALTER TABLE mqtt.%I DROP CONSTRAINT %I', v_parent || to_char(v_end - 1, '_YYYYMMDD'), v_constraint);
        PERFORM mqtt.create_default_partition(parent);
        RETURN true;
    END IF;
    IF v_constraint IS NOT NULL THEN
        EXECUTE format('ALTER TABLE mqtt.%I DROP CONSTRAINT %I', v_default, v_constraint);
    END IF;
    SELECT
        coalesce(max(r.end_at) FILTER (WHERE r.end_at <= v_today), '1970-01-01')::date,
        least(min(r.first_at) FILTER (WHERE r.first_at > v_today)::date, v_today + 8)
    INTO v_first, v_end
    FROM mqtt.partition_ranges(parent) AS r;
    -- With days to come, so that no row breaks it before the next call, whatever delays that.
    EXECUTE format(
        'ALTER TABLE mqtt.%I ADD CONSTRAINT %I CHECK (%I >= %L AND %3$I < %5$L) NOT VALID', v_default,
        format('adoptable_%s_%s', to_char(v_first, 'YYYYMMDD'), to_char(v_end, 'YYYYMMDD')),
        mqtt.partition_column(parent), v_first::timestamptz, v_end::timestamptz
    );
    RETURN false;
END;
$$;
COMMENT ON FUNCTION mqtt.adopt_default_partition(regclass) IS
'Makes a default partition that has taken many rows, because today had no partition, the partition of the days since the last one and of the next week, without moving a row, and a new default one beside it. In two calls, for two transactions: the first adds a constraint and returns false, the second validates it while messages go on arriving, swaps, and returns true. Errors: 55P03 when a lock is not to be had (mqtt.lock_table); 23514 when the table also holds rows from before another partition.';

CREATE OR REPLACE FUNCTION mqtt.prepare_partitions_of(parent regclass, days integer) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_today CONSTANT date := (now() AT TIME ZONE 'UTC')::date;
    v_default CONSTANT regclass := format('mqtt.%I', (SELECT k.relname FROM pg_catalog.pg_class AS k WHERE k.oid = parent) || '_default');
BEGIN
    IF EXISTS (SELECT FROM mqtt.partition_ranges(parent) AS r WHERE now() >= r.first_at AND now() < r.end_at) THEN
        RETURN (SELECT count(*) FILTER (WHERE mqtt.create_partition(parent, v_today + d.ahead)) FROM generate_series(1, days) AS d (ahead));
    END IF;
    -- Messages arrive in the default partition, which each of these locks: so only today now, and the days ahead with the next call.
    -- Beyond this size, moving its rows would hold up those that come.
    IF pg_relation_size(v_default) > 1024 * 1024 THEN
        RETURN mqtt.adopt_default_partition(parent)::integer;
    END IF;
    RETURN mqtt.create_partition(parent, v_today)::integer;
END;
$$;
COMMENT ON FUNCTION mqtt.prepare_partitions_of(regclass, integer) IS
'Makes the missing partitions of one table: today''s, or if there is one those of this many days ahead; returns how many.';

CREATE OR REPLACE FUNCTION mqtt.prepare_partitions(OUT made integer, OUT postponed text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_ahead CONSTANT integer := (SELECT c.partitions_ahead FROM mqtt.configuration AS c);
    v_parent regclass;
BEGIN
    made := 0;
    FOR v_parent IN
        SELECT p.partrelid
        FROM pg_catalog.pg_partitioned_table AS p
        JOIN pg_catalog.pg_class AS k ON k.oid = p.partrelid AND k.relnamespace = 'mqtt'::regnamespace
        ORDER BY k.relname
    LOOP
        -- Each by itself: what one meets costs no other its partitions.
        BEGIN
            made := made + mqtt.prepare_partitions_of(v_parent, v_ahead);
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected THEN
                postponed := concat_ws('; ', postponed, SQLERRM);
            WHEN OTHERS THEN
                RAISE LOG 'topicbase: partitions of % cannot be made: % (%)', v_parent, SQLERRM, SQLSTATE;
                postponed := concat_ws('; ', postponed, format('%s: %s', v_parent, SQLERRM));
        END;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION mqtt.prepare_partitions() IS
'Makes the missing partitions of every partitioned table: today''s, or where there is one those of the configured days ahead; returns how many, and what kept it from making others, which the next call tries again.';
COMMIT;
