/** What Prometheus alerts on and Grafana draws is what the service really tells. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { freePort } from '../../simulators/service.ts';
import { startApp } from '../../src/app.ts';
import { loadSettings } from '../../src/config.ts';
import { MAIN, ROOT, run } from '../support/command-line.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';

const REQUIRED = process.env.METERWARDEN_REQUIRE_PRODUCTS === '1';
const FOLDER = join(ROOT, 'deploy/prometheus');
const PROMTOOL = [...(process.env.PATH ?? '').split(':'), '/usr/bin', '/usr/local/bin']
  .map((dir) => join(dir, 'promtool'))
  .find((file) => existsSync(file));

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly annotations: Readonly<Record<string, string>>;
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly targets?: readonly { readonly expr: string }[];
}

const { groups } = parse(readFileSync(join(FOLDER, 'rules.yml'), 'utf8')) as { groups: { rules: Rule[] }[] };
const rules = groups.flatMap((group) => group.rules);
const { panels } = JSON.parse(readFileSync(join(ROOT, 'deploy/grafana/dashboards/meterwarden.json'), 'utf8')) as {
  panels: Panel[];
};

/** Names of the service's metrics in an expression; `up` is Prometheus' own. */
const metricsIn = (expr: string) => expr.match(/\b(?:meterwarden|nodejs|process)_\w+/g) ?? [];

async function metricsOf(port: number): Promise<string> {
  const [answer] = await once(get({ port, path: '/metrics', rejectUnauthorized: false }), 'response');
  return await text(answer);
}

describe('every metric', () => {
  let db: TestDatabase;
  let folder: string;
  const told = new Map<string, Set<string>>();

  beforeAll(async () => {
    db = await testDatabase();
    folder = mkdtempSync(join(tmpdir(), 'meterwarden-metrics-'));
    expect(await run(MAIN, ['dev-ca', '--out', folder])).toMatchObject({ code: 0 });
    const tls = { TLS_CERT: join(folder, 'server.pem'), TLS_KEY: join(folder, 'server.key') };
    const ports = { HTTP_PORT: '0', MQTT_PORT: '0', MQTTS_PORT: '0' };
    const env = { ...ports, ...tls, DATABASE_URL: db.url };
    const away = { MQTT_URL: `mqtt://meterwarden:secret@127.0.0.1:${await freePort()}` };
    for (const [role, more] of [
      ['ingest', {}],
      ['ingest', away],
      ['work', { HANDOVER_TO: join(folder, 'lake') }],
      ['api', {}],
    ] as const) {
      const app = await startApp(loadSettings({ ...env, ...more }, '/nowhere'), {
        role,
        logger: pino({ level: 'silent' }),
      });
      try {
        const metrics = await metricsOf(app.httpPort);
        for (const [, name, type] of metrics.matchAll(/^# TYPE (\w+) (\w+)$/gm)) {
          const names = type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name!];
          for (const one of names) told.set(one, (told.get(one) ?? new Set()).add(role));
        }
      } finally {
        await app.stop();
      }
    }
  });

  afterAll(async () => {
    await db.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('of an alert is told by the service', () => {
    const named = rules.flatMap(({ expr }) => metricsIn(expr));
    expect(named.length).toBeGreaterThan(10);
    expect(named.filter((name) => !told.has(name))).toEqual([]);
  });

  it('of the dashboard is told by the service, and every one of ours has its place there', () => {
    const drawn = panels.flatMap(({ targets = [] }) => targets.flatMap(({ expr }) => metricsIn(expr)));
    expect(drawn.filter((name) => !told.has(name))).toEqual([]);
    const own = [...told.keys()].filter((name) => name.startsWith('meterwarden_') && !/_(sum|count)$/.test(name));
    expect(own.filter((name) => !drawn.includes(name))).toEqual([]);
  });
});

describe('words', () => {
  it('of alerts are Chinese first and English below', () => {
    for (const { alert, annotations } of rules) {
      expect(annotations.summary, alert).toMatch(/\p{Script=Han}/u);
      expect(annotations.description, alert).toMatch(/^[^\p{Script=Han}]+$/u);
    }
  });

  it('of the dashboard are Chinese with an English subtitle, each panel with a number of its own', () => {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    for (const { type, title, description } of panels) {
      expect(title).toMatch(/^(\p{Script=Han}|CPU).* · [\w /-]+$/u);
      if (type !== 'row') expect(description, title).toMatch(/^[^\p{Script=Han}]+\.$/u);
    }
  });
});

describe.skipIf(PROMTOOL === undefined && !REQUIRED)('promtool', () => {
  const promtool = (...args: string[]) => {
    if (PROMTOOL === undefined) throw new Error('no promtool on PATH');
    return execFileSync(PROMTOOL, args, { cwd: FOLDER, encoding: 'utf8', stdio: 'pipe' });
  };

  it('accepts the configuration and its rules', () => {
    expect(promtool('check', 'config', 'prometheus.yml')).toContain(`SUCCESS: ${rules.length} rules found`);
  });

  it('sees the alerts raised when they should be, and only then', () => {
    expect(promtool('test', 'rules', 'rules.test.yml')).toContain('SUCCESS');
  });
});
