import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type City, city, opened, T0, type Username } from './fixture.ts';

let api: City;
let url: string;
beforeAll(async () => {
  api = await city({ streamTimes: { heartbeatMs: 200, pollMs: 60_000 } });
  await api.server.listen({ port: 0 });
  url = `http://127.0.0.1:${(api.server.server.address() as AddressInfo).port}/api/v1/stream`;
});
afterAll(async () => api.close());

interface Message {
  readonly id: string;
  readonly data: {
    entry: { action: string; sentence: string };
    task: { id: string; instrument: string; stateName: string };
  };
}

class Client {
  readonly response: Response;
  readonly #reader: ReadableStreamDefaultReader<string>;
  #text = '';

  constructor(response: Response) {
    this.response = response;
    this.#reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  }

  async until(pattern: RegExp, times = 1): Promise<string> {
    while (this.#text.split(pattern).length <= times) {
      const { done, value } = await this.#reader.read();
      if (done) throw new Error(`the stream ended after ${JSON.stringify(this.#text)}`);
      this.#text += value;
    }
    return this.#text;
  }

  async messages(count: number): Promise<Message[]> {
    const text = await this.until(/^data: .*\n\n/m, count);
    return text
      .split('\n\n')
      .filter((frame) => frame.startsWith('id: '))
      .map((frame) => ({ id: /^id: (\d+)$/m.exec(frame)![1]!, data: JSON.parse(/^data: (.*)$/m.exec(frame)![1]!) }));
  }

  async end(): Promise<boolean> {
    for (;;) if ((await this.#reader.read()).done) return true;
  }

  async leave(): Promise<void> {
    await this.#reader.cancel();
  }
}

async function follow(as: Username, headers: Record<string, string> = {}, of: City = api): Promise<Client> {
  const { port } = of.server.server.address() as AddressInfo;
  const authorization = `Bearer ${of.tokens[as]}`;
  const client = new Client(
    await fetch(`http://127.0.0.1:${port}/api/v1/stream`, { headers: { authorization, ...headers } }),
  );
  if (client.response.ok) await client.until(/retry: \d+/);
  return client;
}

describe('the stream', () => {
  it('tells new and changed tasks within a second, to those who may see them', async () => {
    const [root, li] = [await follow('root', { 'accept-language': 'en' }), await follow('li')];
    expect(root.response.headers.get('content-type')).toContain('text/event-stream');
    await root.until(/^:$/m);
    const began = performance.now();
    await api.find(opened('silent', 2, T0), opened('silent', 5, T0));
    const messages = await root.messages(2);
    expect(performance.now() - began).toBeLessThan(1_000);
    expect(messages.map(({ data }) => data.task.instrument)).toEqual(['M-2', 'M-5']);
    expect(messages[0]!.data.entry.sentence).toBe('Raised by the finding “silent”');
    await api.ask('POST', `/api/v1/tasks/${messages[1]!.data.task.id}/accept`, { as: 'li' });
    const seen = await li.messages(2);
    expect(seen.map(({ data }) => [data.task.instrument, data.entry.action])).toEqual([
      ['M-5', 'raised'],
      ['M-5', 'accept'],
    ]);
    expect(seen[1]!.data.task.stateName).toBe('已接单');
    await Promise.all([root.leave(), li.leave()]);
  });

  it('is resumed after the last id, leaving nothing out and repeating nothing', async () => {
    const all = await follow('root', { 'last-event-id': '0' });
    const before = await all.messages(3);
    const resumed = await follow('root', { 'last-event-id': before[0]!.id });
    await api.find(opened('rollback', 2, T0));
    expect((await resumed.messages(3)).map(({ id }) => id)).toEqual(
      (await all.messages(4)).slice(1).map(({ id }) => id),
    );
    await Promise.all([all.leave(), resumed.leave()]);
  });

  it('catches up over many pages while more is happening', async () => {
    const first = BigInt(await api.parts.tasks.latestChange());
    const findings = Array.from({ length: 150 }, (_, i) => [
      opened('silent', 1, T0 + i * 1_000),
      {
        change: 'cleared',
        rule: 'silent',
        subject: { type: 'instrument', key: 1 },
        fromMs: T0 + i * 1_000,
        toMs: T0 + i * 1_000 + 1,
      } as const,
    ]).flat();
    await api.find(...findings.slice(0, 200));
    const clients = Promise.all([
      follow('root', { 'last-event-id': String(first) }),
      follow('wang', { 'last-event-id': String(first) }),
    ]);
    await api.find(...findings.slice(200));
    const count = Number(BigInt(await api.parts.tasks.latestChange()) - first);
    expect(count).toBeGreaterThan(200);
    for (const client of await clients) {
      const ids = (await client.messages(count)).map(({ id }) => Number(id));
      expect(ids).toEqual(Array.from({ length: count }, (_, i) => Number(first) + 1 + i));
      await client.leave();
    }
  });

  it('begins now when the position is not reached yet', async () => {
    const client = await follow('root', { 'last-event-id': '999999' });
    await client.until(/^:$/m);
    await api.find(opened('rollback', 4, T0));
    expect(await client.messages(1)).toHaveLength(1);
    await client.leave();
  });

  it('refuses a position that is none, and too many streams of one person', async () => {
    const wrong = await follow('root', { 'last-event-id': 'x' });
    expect(await wrong.response.status).toBe(400);
    const clients = await Promise.all(Array.from({ length: 10 }, () => follow('chief')));
    expect((await follow('chief')).response.status).toBe(429);
    await Promise.all(clients.map((client) => client.leave()));
  });

  it('ends with the session', async () => {
    const { token } = await api.parts.people.signIn('li', 'correct horse', 'test', new Date(T0));
    const client = new Client(await fetch(url, { headers: { authorization: `Bearer ${token}` } }));
    await client.until(/retry/);
    await api.ask('DELETE', '/api/v1/sessions/current', { headers: { authorization: `Bearer ${token}` } });
    expect(await client.end()).toBe(true);
  });

  it('finds changes by itself when nobody wakes it', async () => {
    const silent = await city({
      changes: () => ({ start: async () => {}, stop: async () => {} }),
      streamTimes: { heartbeatMs: 60_000, pollMs: 50 },
    });
    await silent.server.listen({ port: 0 });
    const client = await follow('root', {}, silent);
    await silent.find(opened('silent', 2, T0));
    expect(await client.messages(1)).toHaveLength(1);
    await silent.close();
  });

  it('ends when the server does', async () => {
    const client = await follow('wang');
    const ended = client.end();
    await api.server.close();
    expect(await ended).toBe(true);
    expect(api.errors).toEqual([]);
  });
});
