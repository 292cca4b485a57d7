/** Writes Mosquitto's password and access files for the gateways of the ledger, and for our own workers. */
import { mosquittoAcl, mosquittoPasswordLine, writeMosquittoFiles } from '../broker/mosquitto.ts';
import { addressOf } from '../broker/mqtt-refusals.ts';
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
  const { username: user = '', password: secret = '' } = addressOf({ url: mqttUrl ?? 'mqtt://' });
  const own = mosquittoPasswordLine(user, secret);
  if (own === undefined || secret === '') throw missing('MQTT_URL');
  const gateways = await gatewaysOf(databaseUrl);
  // Of two lines of one name Mosquitto takes the later: the workers would be shut out.
  const devices = gateways.filter(({ id }) => id !== user);
  const known = devices.flatMap(({ mosquitto }) => mosquitto ?? []);
  const { topics, refusalTopics } = loadDomain(settings.configDir).profiles;
  try {
    writeMosquittoFiles(options.out, [own, ...known], mosquittoAcl({ user, prefix, topics, refusalTopics }));
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    const params = { value: options.out, problem: 'folder_refused', at: options.out, code };
    throw new MeterwardenError('unusable_setting', { path: '--out', params, cause: error });
  }
  const params = { out: options.out, gateways: known.length, missing: devices.length - known.length };
  process.stdout.write(`${say(CLI.mosquittoDone, language, params)}\n`);
  if (devices.length < gateways.length) process.stdout.write(`${say(CLI.mosquittoOwnName, language, { id: user })}\n`);
}

const NO_SUCH_TABLE = '42P01';

/** A database that no process has prepared yet has no gateways. */
async function gatewaysOf(databaseUrl: string): Promise<{ id: string; mosquitto: string | null }[]> {
  const signal = new AbortController().signal;
  try {
    await requireServer(databaseUrl, signal);
    const pool = openPool(databaseUrl, 1);
    try {
      return (await pool.query('SELECT id, mosquitto FROM gateways ORDER BY id')).rows;
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
