/** Prepares the InfluxDB of the settings. */
import { SETTINGS, type Settings } from '../config.ts';
import { MeterwardenError } from '../errors.ts';
import { setUpInflux } from '../store/influxdb-setup.ts';
import { INFLUX_CHANGES, INFLUX_STEPS, INFLUX_WARNINGS } from '../texts/influx.ts';
import { type Language, say } from '../texts/text.ts';

export async function runInfluxSetup(
  settings: Settings,
  options: { hourlyDays: number },
  language: Language,
): Promise<void> {
  const { influxUrl: url, influxToken: token, influxOrg: org, influxBucket: bucket, retentionDays } = settings;
  if (url === undefined) throw missing('INFLUX_URL');
  if (token === undefined) throw missing('INFLUX_TOKEN');
  const wanted = { retentionDays, hourlyRetentionDays: options.hourlyDays };
  const { version, steps, warnings } = await setUpInflux({ url, token, org, bucket, ...wanted });
  const lines = [
    `InfluxDB ${version}`,
    ...steps.map(
      ({ what, name, became }) =>
        `${say(INFLUX_STEPS[what], language, { name })}: ${say(INFLUX_CHANGES[became], language)}`,
    ),
    ...warnings.map((warning) => say(INFLUX_WARNINGS[warning.what], language, { ...warning })),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}

function missing(path: 'INFLUX_URL' | 'INFLUX_TOKEN'): MeterwardenError {
  const { expected } = SETTINGS[path];
  return new MeterwardenError('invalid_setting', { path, params: { value: '', expected } });
}
