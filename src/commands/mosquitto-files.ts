/** Writes Mosquitto's password and access files for the gateways of the ledger, and for our own workers. */
import { mosquittoAcl, mosquittoPasswordLine, writeMosquittoFiles } from '../broker/mosquitto.ts';
import { loadDomain, SETTINGS, type Settings } from '../config.ts';
import { MeterwardenError } from '../errors.ts';
import { openPool, requireServer } from '../store/postgres.ts';
import { databaseRefusal } from '../store/postgres-refusals.ts';
import { CLI } from '../texts/cli.ts';
import { type Language, say } from '../texts/text.ts';

export async function runMosquittoFiles(
  settings: Settings,
  options: { out: string },
  language: Language,
): Promise<void> {
  const { databaseUrl, mqttUrl, mqttTopicPrefix: prefix } = settings;
  if (databaseUrl === undefined) throw missing('DATABASE_URL');
  const { username, password } = new URL(mqttUrl ?? 'mqtt://');
  const [user, secret] = [decodeURIComponent(username), decodeURIComponent(password)];
  const own = mosquittoPasswordLine(user, secret);
  if (own === undefined || secret === '') throw missing('MQTT_URL');
  const lines = await gatewayLines(databaseUrl);
  const known = lines.filter((line) => line !== null);
  const { topics, refusalTopics } = loadDomain(settings.configDir).profiles;
  try {
    writeMosquittoFiles(options.out, [own, ...known], mosquittoAcl({ user, prefix, topics, refusalTopics }));
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    const params = { value: options.out, problem: 'folder_refused', at: options.out, code };
    throw new MeterwardenError('unusable_setting', { path: '--out', params, cause: error });
  }
  const params = { out: options.out, gateways: known.length, missing: lines.length - known.length };
  process.stdout.write(`${say(CLI.mosquittoDone, language, params)}\n`);
}

const NO_SUCH_TABLE = '42P01';

/** A database that no process has prepared yet has no gateways. */
async function gatewayLines(databaseUrl: string): Promise<(string | null)[]> {
  const signal = new AbortController().signal;
  try {
    await requireServer(databaseUrl, signal);
    const pool = openPool(databaseUrl, 1);
    try {
      const { rows } = await pool.query<{ mosquitto: string | null }>('SELECT mosquitto FROM gateways ORDER BY id');
      return rows.map(({ mosquitto }) => mosquitto);
    } catch (error) {
      if ((error as { code?: string }).code === NO_SUCH_TABLE) return [];
      throw error;
    } finally {
      await pool.end();
    }
  } catch (error) {
    throw databaseRefusal(error, databaseUrl) ?? error;
  }
}

function missing(path: 'DATABASE_URL' | 'MQTT_URL'): MeterwardenError {
  const { expected } = SETTINGS[path];
  return new MeterwardenError('invalid_setting', { path, params: { value: '', expected } });
}
