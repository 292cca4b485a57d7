-- What several writers stored, in the order of their commits, until the rules have seen it. Ids grow in commit order:
-- writers hold one advisory lock. An entry without readings says that a writer lives.
CREATE TABLE reading_log (
  id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  logged_at timestamptz NOT NULL,
  readings  bytea NOT NULL
);
-- Blocks of numbers hardly compress, and would cost time.
ALTER TABLE reading_log ALTER COLUMN readings SET STORAGE EXTERNAL;
-- Up to which entry the rules have seen the log; null = the snapshot was made by a service without one.
ALTER TABLE rule_progress ADD COLUMN log_id bigint;
