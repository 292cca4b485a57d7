-- Every process holds the ledger in memory and asks for what is newer than it knows. Writers take turns until they commit, so
-- that versions become visible in their order.
CREATE SEQUENCE ledger_versions;
ALTER TABLE instruments ADD COLUMN version bigint NOT NULL DEFAULT 0;
ALTER TABLE gateways ADD COLUMN version bigint NOT NULL DEFAULT 0;
CREATE INDEX instruments_by_version ON instruments (version);
CREATE INDEX gateways_by_version ON gateways (version);

CREATE FUNCTION ledger_turn() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(7236403);
  RETURN NULL;
END $$;
CREATE FUNCTION ledger_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.version := nextval('ledger_versions');
  RETURN NEW;
END $$;
CREATE FUNCTION ledger_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NOTIFY ledger_changes;
  RETURN NULL;
END $$;

CREATE TRIGGER turn BEFORE INSERT OR UPDATE ON instruments FOR EACH STATEMENT EXECUTE FUNCTION ledger_turn();
CREATE TRIGGER version BEFORE INSERT OR UPDATE ON instruments FOR EACH ROW EXECUTE FUNCTION ledger_version();
CREATE TRIGGER notify AFTER INSERT OR UPDATE ON instruments FOR EACH STATEMENT EXECUTE FUNCTION ledger_notify();
CREATE TRIGGER turn BEFORE INSERT OR UPDATE ON gateways FOR EACH STATEMENT EXECUTE FUNCTION ledger_turn();
CREATE TRIGGER version BEFORE INSERT OR UPDATE ON gateways FOR EACH ROW EXECUTE FUNCTION ledger_version();
CREATE TRIGGER notify AFTER INSERT OR UPDATE ON gateways FOR EACH STATEMENT EXECUTE FUNCTION ledger_notify();
