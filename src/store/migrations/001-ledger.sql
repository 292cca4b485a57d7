-- Instruments (台账) and the gateways that may report for them.
CREATE TABLE instruments (
  key               integer PRIMARY KEY,            -- dense from 1: rule state is an array indexed by it
  id                text NOT NULL UNIQUE,
  kind              text NOT NULL,
  role              text NOT NULL CHECK (role IN ('master', 'user')),
  district          text NOT NULL,
  phase             text NOT NULL DEFAULT '' CHECK (phase IN ('L1', 'L2', 'L3', 'L123', '')),
  accuracy_class    text NOT NULL DEFAULT '',
  manufacturer      text NOT NULL DEFAULT '',
  model             text NOT NULL DEFAULT '',
  batch             text NOT NULL DEFAULT '',
  installed_on      date,
  owner             text NOT NULL DEFAULT '',
  region            text NOT NULL DEFAULT '',
  nominal_voltage_v double precision NOT NULL,
  max_current_a     double precision NOT NULL,
  gateway           text NOT NULL DEFAULT '',
  state             text NOT NULL DEFAULT 'in-service' CHECK (state IN ('in-service', 'retired')),
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX one_master_per_district ON instruments (district, kind) WHERE role = 'master' AND state = 'in-service';
CREATE INDEX instruments_by_district ON instruments (district, id);
CREATE INDEX instruments_by_region ON instruments (region, id);
CREATE INDEX instruments_by_gateway ON instruments (gateway) WHERE gateway <> '';

CREATE TABLE gateways (
  id          text PRIMARY KEY,
  secret_salt bytea NOT NULL,
  secret_hash bytea NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now(),
  rotated_at  timestamptz NOT NULL DEFAULT now()
);
