-- Workers that share the load of an external MQTT broker. A worker holds a slot by an advisory lock and connects with client
-- ids of that slot; a row that nobody holds is what a dead worker left at the broker.
CREATE TABLE ingest_slots (
  slot       integer PRIMARY KEY,
  client_ids text[] NOT NULL,                       -- sessions the broker may keep for it
  filters    text[] NOT NULL,                       -- what they may be subscribed to
  leaving    boolean NOT NULL DEFAULT false,        -- its worker unsubscribes and will not come back
  seen_at    timestamptz NOT NULL DEFAULT now()
);
-- One name for all workers of this database: their share of the subscriptions, and the beginning of their client ids. A device
-- that guessed it could join the share, or take a session over, on a broker that does not forbid it (Mosquitto with acl_file).
CREATE TABLE ingest_group (
  name text PRIMARY KEY
);
INSERT INTO ingest_group VALUES ('meterwarden-' || left(replace(gen_random_uuid()::text, '-', ''), 24));
