-- Running errors of a district's meters, one run for each district and window. A run is a row before it is worked on: the queue
-- only wakes somebody to look at it. The window ends at to_ts; where it begins is known when it is estimated.
CREATE TABLE district_estimates (
  id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  district     text NOT NULL,
  region       text NOT NULL,
  to_ts        timestamptz NOT NULL,
  asked_by     text NOT NULL,                       -- a person, or 'system' every night
  asked_at     timestamptz NOT NULL,
  state        text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done', 'failed')),
  armed_at     timestamptz,
  started_at   timestamptz,
  finished_at  timestamptz,
  failures     integer NOT NULL DEFAULT 0,
  failure      text,                                -- of the last attempt, for the operator
  from_ts      timestamptz,
  rows         integer,
  method       jsonb,
  balance      jsonb,                               -- null = the district could not be balanced
  notes        jsonb,
  UNIQUE (district, to_ts)
);
CREATE INDEX district_estimates_unfinished ON district_estimates (asked_at) WHERE state IN ('waiting', 'running');
CREATE INDEX district_estimates_by_end ON district_estimates (to_ts);

-- One line per meter and run. What nothing can be said about is null, with the reason.
CREATE TABLE meter_estimates (
  run            bigint NOT NULL REFERENCES district_estimates (id) ON DELETE CASCADE,
  instrument     integer NOT NULL REFERENCES instruments (key),
  error_pct      double precision,
  sd_pct         double precision,
  low_pct        double precision,
  high_pct       double precision,
  p_inaccurate   double precision,
  mpe_pct        double precision NOT NULL,
  verdict        text NOT NULL CHECK (verdict IN ('ok', 'suspect', 'inaccurate', 'undetermined')),
  reason         jsonb,
  rows_used      integer NOT NULL,
  rows_refused   integer NOT NULL,
  energy_kwh     double precision,
  clock_offset_s double precision,
  change         jsonb,                             -- drift or step inside the window
  PRIMARY KEY (instrument, run)
);
CREATE INDEX meter_estimates_by_run ON meter_estimates (run);

-- Errors measured on site against a standard: the legal ones.
CREATE TABLE site_results (
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  instrument     integer NOT NULL REFERENCES instruments (key),
  task           bigint NOT NULL REFERENCES tasks (id),
  error_pct      double precision NOT NULL,
  expanded_uncertainty_pct double precision NOT NULL, -- k = 2
  mpe_pct        double precision NOT NULL,
  standard       text NOT NULL,
  verdict        text NOT NULL CHECK (verdict IN ('confirmed', 'refuted')),
  measured_at    timestamptz NOT NULL,
  entered_at     timestamptz NOT NULL,
  entered_by     text NOT NULL
);
CREATE INDEX site_results_by_instrument ON site_results (instrument, measured_at);

-- A meter that took another's place, and whether the balance of its district was better afterwards.
CREATE TABLE replacements (
  task         bigint PRIMARY KEY REFERENCES tasks (id),
  old          integer NOT NULL REFERENCES instruments (key),
  new          integer NOT NULL REFERENCES instruments (key), -- the same when it was put back under its id
  district     text NOT NULL,
  replaced_at  timestamptz NOT NULL,
  entered_at   timestamptz NOT NULL,
  entered_by   text NOT NULL,
  improved     boolean,                             -- null = not known yet
  compared     jsonb,                               -- the figures before and after
  compared_at  timestamptz
);
CREATE INDEX replacements_by_district ON replacements (district, replaced_at);
