-- Who may see and act. Region: GB/T 2260; a code ending in 00 covers what lies in it; empty = everywhere.
CREATE TABLE people (
  username      text PRIMARY KEY,
  password_hash text NOT NULL,
  role          text NOT NULL CHECK (role IN ('admin', 'supervisor', 'inspector')),
  region        text NOT NULL DEFAULT '',
  created_at    timestamptz NOT NULL DEFAULT now(),
  disabled_at   timestamptz
);
CREATE TABLE sessions (
  token_hash bytea PRIMARY KEY,
  username   text NOT NULL REFERENCES people (username),
  expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);
