/** Readings are taken in, stored and acknowledged: the pipeline and the broker in front of it. */
import { readFileSync } from 'node:fs';
import { listening } from '../addresses.ts';
import { startAedes } from '../broker/aedes.ts';
import { type MqttIngest, startMqtt } from '../broker/mqtt.ts';
import { IngestMetrics } from '../ingest/metrics.ts';
import { refusalNotice } from '../ingest/notice.ts';
import { Pipeline } from '../pipeline.ts';
import { conflictFindings } from '../rules/conflict.ts';
import { logged, PostgresReadingLog } from '../store/postgres-reading-log.ts';
import { insertRejections } from '../store/postgres-rejections.ts';
import { PostgresSlots } from '../store/postgres-slots.ts';
import type { Foundation } from './foundation.ts';
import { type OwnRules, SIGN_OF_LIFE_MS } from './rules.ts';
import { every } from './timers.ts';

const MAX_PAYLOAD_BYTES = 256 * 1024;
const MAX_FUTURE_MS = 5 * 60_000;
const DAY_MS = 86_400_000;
/** How often a writer to InfluxDB looks at what others logged; the log is kept for some seconds. */
const FOLLOW_MS = 1_000;

/** `rules`: of a process that judges what it stores; without them, what is stored is logged for another to judge. */
export async function startPipeline(foundation: Foundation, rules: OwnRules | undefined): Promise<Pipeline> {
  const { settings, domain, registry, pool, ledger, readings, findings, nowMs, onError, onStop } = foundation;
  await foundation.checkWriting();
  const log = new PostgresReadingLog(pool);
  const pipeline = new Pipeline({
    ledger: ledger.ledger,
    kinds: domain.kinds,
    profiles: domain.profiles,
    limits: {
      maxPayloadBytes: MAX_PAYLOAD_BYTES,
      maxFutureMs: MAX_FUTURE_MS,
      maxAgeMs: settings.retentionDays * DAY_MS,
    },
    store: rules || settings.influx ? readings : logged(readings, log),
    reject: (rejections) => insertRejections(pool, rejections),
    record: (found) => findings.record(found, new Date(nowMs())),
    evaluate: rules?.evaluate ?? (() => []),
    conflictFindings: (conflicts) => conflictFindings(domain.rules, conflicts),
    metrics: new IngestMetrics(registry),
    nowMs,
    onError,
  });
  if (rules) onStop(() => rules.keep());
  onStop(() => pipeline.stop());
  if (rules) await rules.start(pipeline);
  else {
    await log.append([]);
    every(SIGN_OF_LIFE_MS, () => log.append([]), onError, onStop);
    if (settings.influx) every(FOLLOW_MS, () => readings.append([]), onError, onStop);
  }
  return pipeline;
}

export interface BrokerPorts {
  readonly mqttPort: number | undefined;
  readonly mqttsPort: number | undefined;
}

/** Devices connect to this process. */
export async function startBroker(foundation: Foundation, pipeline: Pipeline): Promise<BrokerPorts> {
  const { settings, domain, registry, ledger, certificates, nowMs, onError, onStop } = foundation;
  const broker = await startAedes({
    registry,
    verify: (id, secret) => ledger.verifyGateway(id, secret),
    knows: (id) => ledger.knows(id),
    receive: (message, settle) => pipeline.receive(message, settle),
    refusalTopics: domain.profiles.refusalTopics,
    refusalNotice: (decoded) => refusalNotice(decoded, settings.language),
    maxPayloadBytes: MAX_PAYLOAD_BYTES,
    nowMs,
    onError,
  });
  onStop(() => broker.stop());
  foundation.credentialChanged.add((id) => broker.disconnect(id));
  const mqttPort = await listening('MQTT_PORT', settings, (host, port) => broker.listen(host, port));
  const mqtts =
    certificates &&
    (await listening('MQTTS_PORT', settings, (host, port) =>
      broker.listenTls(host, port, certificates.clientAuth, certificates.current.devices),
    ));
  if (mqtts) certificates.use(({ devices }) => mqtts.setSecureContext(devices));
  return { mqttPort, mqttsPort: mqtts?.port };
}

/** Devices connect to a broker that somebody else runs. */
export async function startExternalBroker(
  foundation: Foundation,
  url: string,
  pipeline: Pipeline,
): Promise<MqttIngest> {
  const { settings, domain, registry, databaseUrl, nowMs, onError, onStop } = foundation;
  const { mqttCa, mqttCert, mqttKey } = settings;
  const read = (file: string | undefined) => (file === undefined ? undefined : readFileSync(file));
  const ingest = await startMqtt({
    url,
    tls: () => ({ ca: read(mqttCa), cert: read(mqttCert), key: read(mqttKey) }),
    protocolVersion: settings.mqttVersion === '5' ? 5 : 4,
    connections: settings.mqttConnections,
    topicPrefix: settings.mqttTopicPrefix,
    clientProperty: settings.mqttClientProperty,
    topics: domain.profiles.topics,
    slots: new PostgresSlots(databaseUrl),
    registry,
    receive: (message, settle) => pipeline.receive(message, settle),
    refuse: (message, refusal, settle) => pipeline.refuse(message, refusal, settle),
    refusalNotice: (decoded) => refusalNotice(decoded, settings.language),
    nowMs,
    onError,
  });
  onStop(() => ingest.stop());
  return ingest;
}
