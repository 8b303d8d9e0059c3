-- Makes a database an archive of packed days; docs/how-to/scale.md says how, and what for. Of a Citus cluster: its coordinator's, with the workers added.
--   psql -X -v password=… -f packaging/citus/archive.sql    as a superuser, in a database of its own
-- With Citus the packs are distributed by organization; without it, this is an archive on one server.
\set ON_ERROR_STOP on
\set QUIET on
\if :{?password}
\else
\warn 'Name a password: psql -v password=…'
\quit
\endif
\if :{?shards}
\else
\set shards 32
\endif
SELECT EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'citus') AS has_citus, NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = 'topicbase_archive') AS is_new \gset
\if :is_new
CREATE ROLE topicbase_archive LOGIN;
\endif
SET password_encryption = 'scram-sha-256';
ALTER ROLE topicbase_archive PASSWORD :'password';
CREATE SCHEMA archive;
-- The columns of mqtt.packs, in its order. Keys start with what it is distributed by.
CREATE TABLE archive.packs (
    number bigint NOT NULL,
    first_received_at timestamptz NOT NULL,
    last_received_at timestamptz NOT NULL,
    first_measured_at timestamptz NOT NULL,
    last_measured_at timestamptz NOT NULL,
    first_position bigint NOT NULL,
    last_position bigint NOT NULL,
    organization integer NOT NULL,
    topic integer NOT NULL,
    run integer NOT NULL,
    message_count integer NOT NULL,
    measured_step integer,
    received_low integer [] NOT NULL,
    received_high smallint [] NOT NULL,
    measured_low integer [],
    measured_high integer [],
    position_low smallint [] NOT NULL,
    position_high bigint [] NOT NULL,
    id_low integer [] NOT NULL,
    id_high "char" [] NOT NULL,  -- noqa: RF06
    id_place integer [] NOT NULL,
    stored_after integer [] NOT NULL,
    flags smallint [] NOT NULL,
    payloads text NOT NULL,
    given_ids uuid [],
    rests text,
    PRIMARY KEY (organization, number)
);
CREATE INDEX packs_received_at_idx ON archive.packs (organization, last_received_at);
CREATE INDEX packs_topic_received_at_idx ON archive.packs (topic, last_received_at);
CREATE INDEX packs_topic_measured_at_idx ON archive.packs (topic, last_measured_at);
CREATE INDEX packs_number_idx ON archive.packs (number);
CREATE INDEX packs_run_idx ON archive.packs (run);
CREATE INDEX packs_given_ids_idx ON archive.packs USING gin (given_ids) WHERE given_ids IS NOT NULL;
\if :has_citus
SELECT create_distributed_table('archive.packs', 'organization', shard_count => :shards);
\endif
REVOKE ALL ON SCHEMA public FROM topicbase_archive;
GRANT USAGE ON SCHEMA archive TO topicbase_archive;
GRANT INSERT, DELETE ON archive.packs TO topicbase_archive;
-- Column by column, which leaves out ctid: postgres_fdw finds rows by it where it cannot send a DELETE whole, and each server would delete another row.
SELECT format('GRANT SELECT (%s), UPDATE (number) ON archive.packs TO topicbase_archive', string_agg(quote_ident(a.attname), ', '))
FROM pg_attribute AS a
WHERE a.attrelid = 'archive.packs'::regclass AND a.attnum > 0 AND NOT a.attisdropped \gexec
