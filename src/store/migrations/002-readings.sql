-- Readings, one partition per day of measurement time (UTC), created when its first reading arrives.
-- received_at is the commit's own time, strictly growing: it separates receipt from measurement and gives replay its order.
CREATE TABLE readings (
  instrument        integer NOT NULL,
  ts                timestamptz NOT NULL,
  received_at       timestamptz NOT NULL,
  active_import_kwh double precision,
  active_export_kwh double precision,
  active_power_w    double precision,
  voltage_v         double precision,
  voltage_l1_v      double precision,
  voltage_l2_v      double precision,
  voltage_l3_v      double precision,
  current_a         double precision,
  current_l1_a      double precision,
  current_l2_a      double precision,
  current_l3_a      double precision,
  neutral_current_a double precision,
  power_factor      double precision,
  frequency_hz      double precision,
  volume_m3         double precision,
  heat_kwh          double precision,
  PRIMARY KEY (instrument, ts)
) PARTITION BY RANGE (ts);
CREATE INDEX readings_by_receipt ON readings USING brin (received_at) WITH (pages_per_range = 16);

CREATE TABLE rejections (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at            timestamptz NOT NULL,
  client        text NOT NULL,
  topic         text NOT NULL,
  code          text NOT NULL,
  path          text NOT NULL,
  params        jsonb NOT NULL,
  readings      integer NOT NULL,                   -- readings this refusal kept out; 0 = a note
  payload       bytea NOT NULL,                     -- the first 2 KiB
  payload_bytes integer NOT NULL
);
CREATE INDEX rejections_by_client ON rejections (client, id);
CREATE INDEX rejections_by_code ON rejections (code, id);

-- Rule state: snapshots of chunks of instruments, and the receipt time up to which every chunk is folded.
CREATE TABLE rule_snapshots (
  chunk text PRIMARY KEY,
  state bytea NOT NULL
);
CREATE TABLE rule_progress (
  worker      text PRIMARY KEY,
  received_at timestamptz NOT NULL
);
