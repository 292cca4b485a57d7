/** A worker at an external broker as a process of its own, so that a test can kill it: says what it received and keeps it. */
import { setTimeout as delay } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { startMqtt } from '../../src/broker/mqtt.ts';
import { PostgresSlots } from '../../src/store/postgres-slots.ts';

const [url = '', databaseUrl = '', protocolVersion, answerAfterMs] = process.argv.slice(2);
const decoded = { readings: [], refusals: [], profile: undefined };

await startMqtt({
  url,
  protocolVersion: protocolVersion === '5' ? 5 : 4,
  connections: 2,
  topics: ['v1/gateway/telemetry'],
  slots: new PostgresSlots(databaseUrl),
  registry: new Registry(),
  receive: async (message, settle) => {
    await delay(Number(answerAfterMs));
    // What stands on the pipe is kept, whatever happens to this process.
    process.stdout.write(`${message.payload}\n`, () => settle('accepted', decoded));
  },
  refuse: (_message, _refusal, settle) => settle('accepted', decoded),
  refusalNotice: () => undefined,
  nowMs: Date.now,
  onError: (stage, error) => process.stderr.write(`${stage} ${String(error)}\n`),
  pace: { minBackoffMs: 50, watchMs: 100, quietMs: 200 },
});
process.stdout.write('ready\n');
