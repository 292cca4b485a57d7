/** The Dockerfile: what it says, and that the service runs from what it copies, confined as docker-compose.yml confines it. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { validate } from 'dockerfile-utils';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../simulators/service.ts';
import { ROOT } from '../support/command-line.ts';
import { Image, productionPackages, readRecipe } from '../support/image.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';

const REQUIRED = process.env.METERWARDEN_REQUIRE_PRODUCTS === '1';
const SLOW = { timeout: 90_000 };
const POLL = { timeout: 30_000, interval: 100 };
const recipe = readRecipe();

describe('the Dockerfile', () => {
  it('has nothing its linter objects to', () => {
    expect(validate(recipe.text).map(({ message, range }) => `${range.start.line + 1}: ${message}`)).toEqual([]);
    // It does see what is wrong.
    expect(validate('FROM node\nEXPOSE http\n').length).toBeGreaterThan(0);
  });

  it('stands on one exact Node, the one that developers run', () => {
    const { devDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    expect(new Set(recipe.baseImages)).toEqual(new Set([`node:${devDependencies.node}-bookworm-slim`]));
  });

  it('runs as a user by number who is not root, and gets its signals itself', () => {
    expect(recipe.user).toMatch(/^[1-9]\d*:[1-9]\d*$/);
    expect(recipe.stopSignal).toBe('SIGTERM');
    expect(recipe.entrypoint[0]).toBe('node');
  });

  it('copies nothing that .dockerignore keeps out, and .dockerignore lets in nothing else', () => {
    const lines = readFileSync(join(ROOT, '.dockerignore'), 'utf8').split('\n');
    const kept = lines.flatMap((line) => (line.startsWith('!') ? [line.slice(1)] : []));
    expect(lines).toContain('*');
    expect([...recipe.copied, 'package-lock.json'].sort()).toEqual(kept.sort());
    for (const path of kept) expect(existsSync(join(ROOT, path)), path).toBe(true);
  });

  it('installs every package that src imports', () => {
    const packages = productionPackages();
    const files = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' }).filter((f) =>
      f.endsWith('.ts'),
    );
    const imported = files.flatMap((file) =>
      [
        ...readFileSync(join(ROOT, 'src', file), 'utf8').matchAll(
          /^import [^;]*?'((?:@[\w-]+\/)?[a-z][\w-]*)[^':]*';$/gm,
        ),
      ]
        .filter(([line]) => !line.startsWith('import type'))
        .map(([, name]) => name!),
    );
    expect(imported).toContain('fastify');
    expect(imported.filter((name) => !packages.includes(`node_modules/${name}`))).toEqual([]);
    expect(packages).not.toContain('node_modules/vitest');
    expect(packages).not.toContain('node_modules/node');
  });
});

describe.skipIf(process.getuid?.() !== 0 && !REQUIRED)('a container', () => {
  let image: Image;
  let db: TestDatabase | undefined;
  beforeAll(() => {
    image = Image.build(recipe);
  }, 180_000);
  afterEach(async () => {
    await image.kill();
    await db?.close();
    db = undefined;
  });
  afterAll(() => image.remove());

  /** The image's own HEALTHCHECK. */
  const healthy = async (env: Record<string, string>) => {
    const [, ...args] = recipe.healthcheck;
    return await promisify(execFile)(process.execPath, args, { env }).then(
      () => true,
      () => false,
    );
  };
  const start = async (command: readonly string[], env: Record<string, string> = {}) => {
    const [httpPort, mqttPort] = [await freePort(), await freePort()];
    const all = { HTTP_PORT: String(httpPort), MQTT_PORT: String(mqttPort), ...env };
    expect(await healthy(all)).toBe(false);
    image.start(command, all);
    while (!(await healthy(all))) {
      expect(image.running, image.output).toBe(true);
      await sleep(200);
    }
    return httpPort;
  };

  it(
    'of one process keeps its database on its volume, stops when told, and goes on with it, killed too',
    SLOW,
    async () => {
      image.mount(true);
      await start(recipe.command);
      await expect.poll(() => image.output, POLL).toMatch(/admin 的密码/);
      const status = readFileSync(`/proc/${image.pid}/status`, 'utf8');
      expect(status).toMatch(/^Uid:\s+1000\s+1000\s+1000\s+1000$/m);
      expect(status).toMatch(/^NSpid:\s+\d+\s+1$/m);
      expect(status).toMatch(/^CapBnd:\s+0+$/m);
      expect(await image.stop(), image.output).toBe(0);

      await start(recipe.command);
      await expect.poll(() => image.output, POLL).toMatch(/HTTP http/);
      expect(image.output).not.toMatch(/admin 的密码/);
      await image.kill();

      await start(recipe.command);
      expect(await image.stop(), image.output).toBe(0);
    },
  );

  it('that speaks TLS is asked for its health over TLS', SLOW, async () => {
    db = await testDatabase();
    image.mount(true);
    const tls = { TLS_CERT: '/data/tls/server.pem', TLS_KEY: '/data/tls/server.key' };
    image.start(['dev-ca', '--out', '/data/tls'], {});
    await expect.poll(() => image.running, POLL).toBe(false);
    await start(['ingest'], { DATABASE_URL: db.url, MQTTS_PORT: String(await freePort()), ...tls });
    expect(await image.stop(), image.output).toBe(0);
  });

  it.each(['ingest', 'work', 'api'])('of the role %s needs nothing to write', SLOW, async (role) => {
    db = await testDatabase();
    image.mount(false);
    const httpPort = await start([role], { DATABASE_URL: db.url });
    expect((await fetch(`http://127.0.0.1:${httpPort}/readyz`)).status).toBe(200);
    expect(await image.stop(), image.output).toBe(0);
  });

  it('without a volume says in a sentence what is missing', SLOW, async () => {
    image.mount(false);
    image.start(recipe.command, { HTTP_PORT: '0', MQTT_PORT: '0', METERWARDEN_LANG: 'en' });
    await expect.poll(() => image.running, POLL).toBe(false);
    expect(image.output).toMatch(/METERWARDEN_DATA: .*\/data/);
  });
});
