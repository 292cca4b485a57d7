/** A simulated district in a database, with one meter that runs fast, and estimates of it at any moment. */
import { fleetOptions } from '../../simulators/fleet.ts';
import { readLondonProfiles } from '../../simulators/london.ts';
import { simulateDistrict } from '../../simulators/simulate-district.ts';
import { openAccuracy } from '../../src/app/accuracy.ts';
import { openEstimateThread } from '../../src/app/estimates.ts';
import { loadDomain } from '../../src/config.ts';
import { type EstimateOrder, Estimating } from '../../src/estimating.ts';
import { orderedValues, type Reading } from '../../src/fleet/reading.ts';
import { Calendar } from '../../src/handover/calendar.ts';
import { PostgresFindings } from '../../src/store/postgres-findings.ts';
import { PostgresReadings } from '../../src/store/postgres-readings.ts';
import { CONFIG_DIR, ZONE } from '../handover/fixture.ts';
import { type City, chunks, city } from '../inspector/fixture.ts';

export const DAY_MS = 86_400_000;
/** Midnight in Shanghai: the first reading. */
export const T0 = Date.UTC(2025, 10, 1, 16);
const USERS = 25;
export const DAYS = 34;
export const FAST_PCT = 8;

/** Simulated once: the true registers, and voltages, of every instrument. */
const simulated = simulateDistrict(
  fleetOptions({
    ...{ seed: 11, metersPerDistrict: USERS, days: DAYS, untilMs: T0 + DAYS * DAY_MS, faults: {} },
    ...{ threePhasePct: 0, lossPct: 1.8, registerStepKwh: 0, stepMs: 5 * 60_000 },
  }),
  readLondonProfiles(),
);
export const DISTRICT = simulated.instruments[0]!.district;
/** Runs fast by `FAST_PCT`: the one that draws most, whose error can be known in days. */
export const BAD = usersByEnergy()[0]!;

export class EstimatedDistrict {
  readonly city: City;
  readonly estimating: Estimating;
  readonly thread: ReturnType<typeof openEstimateThread>;
  readonly findings: PostgresFindings;
  /** Happens before the estimate of the district is known. */
  whenCalculating: ((order: EstimateOrder) => Promise<void>) | undefined;
  readonly #readings: PostgresReadings;

  private constructor(
    here: City,
    estimating: Estimating,
    thread: EstimatedDistrict['thread'],
    findings: PostgresFindings,
  ) {
    this.city = here;
    this.findings = findings;
    this.estimating = estimating;
    this.thread = thread;
    this.#readings = new PostgresReadings(here.database.pool, () => here.now);
  }

  static async open(): Promise<EstimatedDistrict> {
    const here = await city();
    const columns = 'id,kind,role,district,phase,accuracy_class,region,nominal_voltage_v,max_current_a';
    const lines = simulated.instruments.map(
      ({ id, role, phase, accuracyClass }) =>
        `${id},electricity,${role},${DISTRICT},${phase},${accuracyClass},220302,230,100`,
    );
    await here.parts.ledger.importCsv(chunks([columns, ...lines, ''].join('\n')));
    const { pool, url: databaseUrl } = here.database;
    await pool.query(`UPDATE sessions SET expires_at = 'infinity'`); // weeks pass
    const domain = loadDomain();
    const { ledger } = here.parts.ledger;
    const readings = new PostgresReadings(pool, () => here.now);
    const findings = new PostgresFindings({
      ...{ pool, ledger, policies: domain.tasks, policyOf: (rule: string) => domain.rules.rules.get(rule) },
      range: readings.range.bind(readings),
    });
    const thread = openEstimateThread({ databaseUrl, influx: undefined, configDir: CONFIG_DIR });
    const estimating = new Estimating({
      ...{ ledger, findings, kinds: domain.kinds, rules: domain.rules, policy: domain.accuracy },
      ...openAccuracy(domain, pool, ledger, findings),
      calendar: new Calendar(ZONE),
      calculate: async (order) => {
        const estimate = await thread.run(order);
        if (order.district === DISTRICT) await opened.whenCalculating?.(order);
        return estimate;
      },
    });
    const opened = new EstimatedDistrict(here, estimating, thread, findings);
    return opened;
  }

  /** Days after T0 become readings; `id` reports for the place of `BAD` from then on, `fastPct` too fast. */
  async read(fromDay: number, toDay: number, { id = BAD, fastPct = FAST_PCT } = {}): Promise<void> {
    const [fromMs, toMs] = [T0 + fromDay * DAY_MS, T0 + toDay * DAY_MS];
    const { ledger } = this.city.parts.ledger;
    const batch: Reading[] = [];
    const from = simulated.tsMs.findIndex((ts) => ts >= fromMs);
    for (let k = from; k < simulated.tsMs.length && simulated.tsMs[k]! < toMs; k++) {
      simulated.instruments.forEach((instrument, i) => {
        const isBad = instrument.id === BAD;
        const { key } = ledger.byId(isBad ? id : instrument.id)!;
        const register = simulated.registersKwh[i]!;
        const grown = isBad ? (register[k]! - register[from]!) * (1 + fastPct / 100) : register[k]!;
        const values = {
          active_import_kwh: Math.floor(grown * 100) / 100,
          voltage_v: simulated.voltagesV[i]?.[0]?.[k] ?? Number.NaN,
        };
        batch.push({ key, tsMs: simulated.tsMs[k]!, values: orderedValues(values) });
      });
    }
    this.city.now = toMs;
    for (let at = 0; at < batch.length; at += 20_000) await this.#readings.append(batch.slice(at, at + 20_000));
  }

  /** Every run that is due then, as a worker would make them. */
  async night(day: number): Promise<void> {
    this.city.now = T0 + day * DAY_MS + 3 * 3_600_000;
    const at = new Date(this.city.now);
    await this.estimating.plan(at);
    for (const { id } of await this.estimating.waiting(at, 100)) await this.estimating.run(id, () => this.city.now);
  }

  async close(): Promise<void> {
    this.estimating.stop();
    await this.thread.stop();
    await this.city.close();
  }
}

function usersByEnergy(): string[] {
  const grown = simulated.registersKwh.map((register) => register.at(-1)! - register[0]!);
  return simulated.instruments
    .map(({ id, role }, i) => ({ id, role, kwh: grown[i]! }))
    .filter(({ role }) => role === 'user')
    .sort((a, b) => b.kwh - a.kwh)
    .map(({ id }) => id);
}
