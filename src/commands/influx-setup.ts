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
  const { influx, retentionDays } = settings;
  if (!influx) {
    const { expected } = SETTINGS.INFLUX_URL;
    throw new MeterwardenError('invalid_setting', { path: 'INFLUX_URL', params: { value: '', expected } });
  }
  const wanted = { retentionDays, hourlyRetentionDays: options.hourlyDays };
  const { version, steps, warnings } = await setUpInflux({ ...influx, ...wanted });
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
