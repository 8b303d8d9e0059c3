-- Deploy topicbase:tables/ledger_levels to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
-- Values of mqtt.ledger.shard below 0, as functions that the planner replaces by the number.
CREATE OR REPLACE FUNCTION mqtt.ledger_level_outcomes() RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT -1;
END;
COMMENT ON FUNCTION mqtt.ledger_level_outcomes() IS 'Ledger rows that tell what became of messages, for each minute in which they were accepted.';

CREATE OR REPLACE FUNCTION mqtt.ledger_level_hour() RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT -2;
END;
COMMENT ON FUNCTION mqtt.ledger_level_hour() IS 'Ledger rows that were added up to the hour.';

CREATE OR REPLACE FUNCTION mqtt.ledger_level_minute() RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT -3;
END;
COMMENT ON FUNCTION mqtt.ledger_level_minute() IS 'Ledger rows that were added up to the minute.';

CREATE OR REPLACE FUNCTION mqtt.ledger_level_settled() RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT -4;
END;
COMMENT ON FUNCTION mqtt.ledger_level_settled() IS 'Ledger rows of an hour (or of all that is older than any term of retention) whose messages are all settled. Indexes, which need a literal, have it as -4.';
COMMIT;
