import { expect, test } from 'vitest';
import { Sessions } from '../../src/broker/sessions.ts';

const TOPIC = { topic: 't/rejected', qos: 1 };
const TOPICS = new Set([TOPIC.topic]);

/** Comes, subscribes and goes. */
async function visit(sessions: Sessions, identity: string, id: string): Promise<void> {
  const session = sessions.enter(identity, id);
  await sessions.addSubscriptions({ id }, [TOPIC]);
  sessions.leave(session);
}

const kept = async (sessions: Sessions, id: string) => (await sessions.subscriptionsByClient({ id })).length > 0;

test('of one identity the session absent longest is forgotten', async () => {
  const sessions = new Sessions({ absentOfIdentity: 2, absent: 100 }, TOPICS);
  await visit(sessions, 'A', 'a1');
  await visit(sessions, 'A', 'a2');
  await visit(sessions, 'B', 'b1');
  await visit(sessions, 'A', 'a1');
  await visit(sessions, 'A', 'a3');
  expect(await Promise.all(['a1', 'a2', 'a3', 'b1'].map((id) => kept(sessions, id)))).toEqual([
    true,
    false,
    true,
    true,
  ]);
});

test('of all sessions the one absent longest is forgotten, a connected one never', async () => {
  const sessions = new Sessions({ absentOfIdentity: 100, absent: 2 }, TOPICS);
  sessions.enter('A', 'a1');
  await sessions.addSubscriptions({ id: 'a1' }, [TOPIC]);
  for (let i = 0; i < 10; i++) await visit(sessions, `B${i}`, `b${i}`);
  expect(sessions.size).toBe(3);
  const left = await Promise.all(['a1', 'b7', 'b8', 'b9'].map((id) => kept(sessions, id)));
  expect(left).toEqual([true, false, true, true]);
});

test('a session without subscriptions is not kept and displaces none; a subscription refused is none', async () => {
  const sessions = new Sessions({ absentOfIdentity: 1, absent: 1 }, TOPICS);
  await visit(sessions, 'A', 'a');
  for (let i = 0; i < 10; i++) {
    const session = sessions.enter('A', `a${i}`);
    await sessions.addSubscriptions({ id: `a${i}` }, [{ topic: `${i}/#`, qos: 1 }]);
    sessions.leave(session);
  }
  expect(sessions.size).toBe(1);
  expect(await kept(sessions, 'a')).toBe(true);
  const session = sessions.enter('A', 'a');
  await sessions.removeSubscriptions({ id: 'a' }, [TOPIC.topic]);
  sessions.leave(session);
  expect(sessions.size).toBe(0);
});

test('taking over keeps the session, a clean connection ends it', async () => {
  const sessions = new Sessions({ absentOfIdentity: 1, absent: 1 }, TOPICS);
  const first = sessions.enter('A', 'a');
  await sessions.addSubscriptions({ id: 'a' }, [TOPIC]);
  const second = sessions.enter('A', 'a');
  sessions.leave(first);
  await visit(sessions, 'A', 'b');
  await visit(sessions, 'A', 'c');
  expect(await kept(sessions, 'a')).toBe(true);
  await sessions.cleanSubscriptions({ id: 'a' });
  sessions.leave(second);
  expect(await kept(sessions, 'a')).toBe(false);
  expect(sessions.size).toBe(1);
});
