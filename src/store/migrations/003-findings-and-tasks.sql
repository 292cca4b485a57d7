-- Findings and the tasks they raise. The unique indexes are the promises; code only makes them rarely needed.
CREATE TABLE findings (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  rule          text NOT NULL,
  subject       text NOT NULL,                      -- 'instrument:<key>' or 'district:<id>'
  instrument    integer REFERENCES instruments (key),
  district      text NOT NULL,
  region        text NOT NULL,
  from_ts       timestamptz NOT NULL,
  to_ts         timestamptz,                        -- null = still open
  severity      text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
  reason_code   text NOT NULL,
  reason_params jsonb NOT NULL,
  task          bigint,
  opened_at     timestamptz NOT NULL,
  cleared_at    timestamptz,
  UNIQUE (subject, rule, from_ts)
);
CREATE UNIQUE INDEX one_open_finding ON findings (subject, rule) WHERE to_ts IS NULL;
CREATE INDEX findings_by_instrument ON findings (instrument, id);
CREATE INDEX findings_by_district ON findings (district, id);

CREATE TABLE tasks (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind          text NOT NULL CHECK (kind IN ('replace', 'verify-on-site', 'spot-check', 'repair')),
  cause         text NOT NULL,
  subject       text NOT NULL,
  instrument    integer REFERENCES instruments (key),
  district      text NOT NULL,
  region        text NOT NULL,
  severity      text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
  state         text NOT NULL CHECK (state IN ('raised', 'assigned', 'accepted', 'done', 'refuted', 'closed')),
  assignee      text,
  verdict       text CHECK (verdict IN ('confirmed', 'refuted', 'no-access')),
  reason_code   text NOT NULL,
  reason_params jsonb NOT NULL,
  evidence      jsonb NOT NULL,                     -- array: a finding and the readings around it
  created_at    timestamptz NOT NULL,
  updated_at    timestamptz NOT NULL,
  due_at        timestamptz NOT NULL,
  escalated_at  timestamptz
);
CREATE UNIQUE INDEX one_open_task ON tasks (subject, cause) WHERE state <> 'closed';
CREATE INDEX tasks_by_queue ON tasks (region, state, id);
CREATE INDEX tasks_by_assignee ON tasks (assignee, state, id);
ALTER TABLE findings ADD FOREIGN KEY (task) REFERENCES tasks (id);
CREATE INDEX findings_by_task ON findings (task) WHERE task IS NOT NULL;

-- Append only; ids grow in commit order (writers hold one advisory lock), so they are the position of the live stream.
CREATE TABLE task_history (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  task       bigint NOT NULL REFERENCES tasks (id),
  at         timestamptz NOT NULL,
  actor      text NOT NULL,
  action     text NOT NULL,
  from_state text,
  to_state   text NOT NULL,
  note       text NOT NULL DEFAULT '',              -- a person's own words
  params     jsonb NOT NULL DEFAULT '{}'            -- fills the placeholders of the action's sentence
);
CREATE INDEX task_history_by_task ON task_history (task, id);

-- Steps due in the life of a task. The row is the truth; a queue only wakes somebody to look at it.
CREATE TABLE task_steps (
  task   bigint NOT NULL REFERENCES tasks (id),
  step   text NOT NULL CHECK (step IN ('dispatch', 'reminder', 'deadline')),
  run_at timestamptz NOT NULL,
  armed_at timestamptz,
  done_at  timestamptz,
  PRIMARY KEY (task, step)
);
CREATE INDEX task_steps_waiting ON task_steps (run_at) WHERE done_at IS NULL;
CREATE INDEX task_steps_unarmed ON task_steps (run_at) WHERE done_at IS NULL AND armed_at IS NULL;
