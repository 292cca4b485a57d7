/** People and their sessions in PostgreSQL. */
import { createHash, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import type pg from 'pg';
import { MeterwardenError } from '../errors.ts';
import type { PersonRole } from '../fleet/person.ts';

export interface Person {
  readonly username: string;
  readonly role: PersonRole;
  /** GB/T 2260; a code ending in 00 covers what lies in it; empty = everywhere. */
  readonly region: string;
}

export interface PersonRecord extends Person {
  readonly createdAt: Date;
  readonly disabledAt: Date | null;
}

export interface NewPerson extends Person {
  readonly password: string;
}

export interface PersonChange {
  readonly password?: string | undefined;
  readonly role?: PersonRole | undefined;
  readonly region?: string | undefined;
  readonly disabled?: boolean | undefined;
}

export const FIRST_USER = 'admin';
const SESSION_LIFETIME_MS = 12 * 3_600_000;
/** Wrong passwords for one name from one address, after which it waits for the rest of the quarter hour. */
const MAX_FAILURES = 10;
const FAILURE_WINDOW_MS = 15 * 60_000;
const MAX_TRACKED_FAILURES = 10_000;
/** OWASP password storage cheat sheet (2024): N = 2^15, r = 8, p = 3 is one of the recommended settings; 32 MiB each. */
const COST = { N: 2 ** 15, r: 8, p: 3, maxmem: 64 * 1024 * 1024 };
const UNIQUE_VIOLATION = '23505';
const RECORD = 'username, role, region, created_at AS "createdAt", disabled_at AS "disabledAt"';
const derive = promisify(scrypt) as (
  password: string,
  salt: Buffer,
  length: number,
  options: typeof COST,
) => Promise<Buffer>;

export class PostgresPeople {
  readonly #pool: pg.Pool;
  readonly #failures = new Map<string, { count: number; sinceMs: number }>();
  /** Checked when the name is unknown, so that the answer takes as long as for a known one. */
  #nobody: Promise<string> | undefined;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  /** Makes the first user; returns the password that was made up for it, if one was. */
  async ensureAdmin(given: string | undefined): Promise<string | undefined> {
    const { rowCount } = await this.#pool.query('SELECT 1 FROM people WHERE username = $1', [FIRST_USER]);
    if (rowCount === 0) {
      const password = given ?? randomBytes(12).toString('base64url');
      await this.create({ username: FIRST_USER, password, role: 'admin', region: '' });
      return given === undefined ? password : undefined;
    }
    if (given !== undefined) await this.#setPassword(FIRST_USER, given);
    return undefined;
  }

  async signIn(
    username: string,
    password: string,
    address: string,
    now: Date,
  ): Promise<{ token: string; expiresAt: Date }> {
    const source = `${address} ${username}`;
    if (this.#blocked(source, now)) throw new MeterwardenError('rate_limited');
    this.#count(source, now); // before the slow check, so that many at once are counted too
    const { rows } = await this.#pool.query<{ password_hash: string }>(
      'SELECT password_hash FROM people WHERE username = $1 AND disabled_at IS NULL',
      [username],
    );
    this.#nobody ??= hashPassword(randomBytes(16).toString('hex'));
    const matches = await passwordMatches(password, rows[0]?.password_hash ?? (await this.#nobody));
    if (!matches || !rows[0]) throw new MeterwardenError('wrong_credentials');
    this.#failures.delete(source);
    const token = randomBytes(32).toString('base64url');
    const expiresAt = new Date(now.getTime() + SESSION_LIFETIME_MS);
    await this.#pool.query('DELETE FROM sessions WHERE expires_at < $1', [now]);
    await this.#pool.query('INSERT INTO sessions (token_hash, username, expires_at) VALUES ($1, $2, $3)', [
      hashToken(token),
      username,
      expiresAt,
    ]);
    return { token, expiresAt };
  }

  async session(token: string, now: Date): Promise<Person | undefined> {
    const { rows } = await this.#pool.query<Person>({
      name: 'session',
      text: `SELECT username, role, region FROM sessions JOIN people USING (username)
             WHERE token_hash = $1 AND expires_at > $2 AND disabled_at IS NULL`,
      values: [hashToken(token), now],
    });
    return rows[0];
  }

  async signOut(token: string): Promise<void> {
    await this.#pool.query('DELETE FROM sessions WHERE token_hash = $1', [hashToken(token)]);
  }

  async list(): Promise<PersonRecord[]> {
    const { rows } = await this.#pool.query<PersonRecord>(`SELECT ${RECORD} FROM people ORDER BY username`);
    return rows;
  }

  async create({ username, password, role, region }: NewPerson): Promise<PersonRecord> {
    try {
      const { rows } = await this.#pool.query<PersonRecord>(
        `INSERT INTO people (username, password_hash, role, region) VALUES ($1, $2, $3, $4) RETURNING ${RECORD}`,
        [username, await hashPassword(password), role, region],
      );
      return rows[0]!;
    } catch (error) {
      if ((error as { code?: string }).code !== UNIQUE_VIOLATION) throw error;
      throw new MeterwardenError('conflict', { path: 'username', params: { problem: 'username_taken' }, cause: error });
    }
  }

  /** A new password or a disabled account ends the open sessions. */
  async change(username: string, { password, role, region, disabled }: PersonChange): Promise<PersonRecord> {
    if (password !== undefined) await this.#setPassword(username, password);
    const { rows } = await this.#pool.query<PersonRecord>(
      `UPDATE people SET role = coalesce($2, role), region = coalesce($3, region),
              disabled_at = CASE WHEN $4 THEN coalesce(disabled_at, now()) WHEN NOT $4 THEN NULL ELSE disabled_at END
       WHERE username = $1 RETURNING ${RECORD}`,
      [username, role ?? null, region ?? null, disabled ?? null],
    );
    if (!rows[0]) throw new MeterwardenError('not_found', { path: 'username' });
    if (disabled) await this.#pool.query('DELETE FROM sessions WHERE username = $1', [username]);
    return rows[0];
  }

  async #setPassword(username: string, password: string): Promise<void> {
    const { rows } = await this.#pool.query<{ password_hash: string }>(
      'SELECT password_hash FROM people WHERE username = $1',
      [username],
    );
    if (rows[0] && (await passwordMatches(password, rows[0].password_hash))) return;
    await this.#pool.query('UPDATE people SET password_hash = $2 WHERE username = $1', [
      username,
      await hashPassword(password),
    ]);
    await this.#pool.query('DELETE FROM sessions WHERE username = $1', [username]);
  }

  #blocked(source: string, now: Date): boolean {
    const failures = this.#failures.get(source);
    if (failures && now.getTime() - failures.sinceMs > FAILURE_WINDOW_MS) this.#failures.delete(source);
    return (this.#failures.get(source)?.count ?? 0) >= MAX_FAILURES;
  }

  #count(source: string, now: Date): void {
    const failures = this.#failures.get(source);
    if (failures) failures.count++;
    else {
      // The oldest makes room: a flood of names must not grow the map.
      if (this.#failures.size >= MAX_TRACKED_FAILURES) this.#failures.delete(this.#failures.keys().next().value!);
      this.#failures.set(source, { count: 1, sinceMs: now.getTime() });
    }
  }
}

async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(16);
  const hash = await derive(password, salt, 32, COST);
  return `scrypt$${COST.N}$${COST.r}$${COST.p}$${salt.toString('base64')}$${hash.toString('base64')}`;
}

async function passwordMatches(password: string, stored: string): Promise<boolean> {
  const [, N, r, p, salt, hash] = stored.split('$');
  const expected = Buffer.from(hash!, 'base64');
  const cost = { ...COST, N: Number(N), r: Number(r), p: Number(p) };
  return timingSafeEqual(await derive(password, Buffer.from(salt!, 'base64'), expected.length, cost), expected);
}

function hashToken(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
