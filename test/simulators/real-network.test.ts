import { describe, expect, test } from 'vitest';
import { PowerFlow, stretched } from '../../simulators/feeder.ts';
import { parseOpenDss } from '../../simulators/opendss.ts';
import { Random } from '../../simulators/random.ts';
import { REAL_NETWORKS, type RealNetwork, realNetwork } from '../../simulators/real-network.ts';

const NAMES = Object.keys(REAL_NETWORKS) as RealNetwork[];

function published(name: RealNetwork) {
  return realNetwork(name, new Random(1), REAL_NETWORKS[name].loads);
}

/** The loop of phase and neutral to one load, measured by what a load there does to its voltage. */
function loopOhm(name: RealNetwork, user: number): { resistanceOhm: number; reactanceOhm: number } {
  const { network, points } = published(name);
  const flow = new PowerFlow(network, [{ node: points[user]!.node, phase: points[user]!.phase! }]);
  const source = new Float64Array(3).fill(231);
  // Small enough that the drop across the reactance and the one across the resistance do not turn each other.
  const power = 10;
  flow.solve(Float64Array.of(power), Float64Array.of(0), source);
  const voltageV = flow.tapVoltageV[0]!;
  const resistanceOhm = flow.lossW * (voltageV / power) ** 2;
  flow.solve(Float64Array.of(0), Float64Array.of(power), source);
  const dropV = flow.busVoltageV[points[user]!.phase!]! - flow.tapVoltageV[0]!;
  return { resistanceOhm, reactanceOhm: (dropV * flow.tapVoltageV[0]!) / power };
}

describe('OpenDSS files', () => {
  test('values keep their order, continued lines belong to the statement above, comments to none', () => {
    const text =
      'New Linegeometry.OH nconds=2 !two wires\n~ cond=1 Wire=Moon x=-1100\n!~ cond=9\nnew Line.a bus1=1.2.4\n';
    expect(parseOpenDss(text)).toEqual([
      {
        kind: 'linegeometry',
        name: 'OH',
        values: [
          ['nconds', '2'],
          ['cond', '1'],
          ['wire', 'Moon'],
          ['x', '-1100'],
        ],
      },
      { kind: 'line', name: 'a', values: [['bus1', '1.2.4']] },
    ]);
  });
});

describe('real networks', () => {
  test.each(NAMES)('%s has the loads it was published with, and a node for each', (name) => {
    const { network, points } = published(name);
    expect(points).toHaveLength(REAL_NETWORKS[name].loads);
    expect(points.every(({ node, phase }) => node > 0 && node < network.parent.length && phase! >= 0)).toBe(true);
    network.parent.forEach((parent, node) => {
      expect(parent).toBeLessThan(node);
    });
    expect(network.resistanceOhm.every((ohm) => ohm >= 0)).toBe(true);
  });

  test('the phases of the IEEE feeder are those of its loads', () => {
    const counts = [0, 1, 2].map((phase) => published('ieee-eu-lv').points.filter((one) => one.phase === phase).length);
    expect(counts).toEqual([21, 19, 15]);
  });

  test('IEEE feeder: 21.863 m of 4c_70 and 11.256 m of 2c_16 to the first load', () => {
    // A phase and its return: (2·R1 + R0)/3 per km.
    const { resistanceOhm, reactanceOhm } = loopOhm('ieee-eu-lv', 0);
    expect(resistanceOhm).toBeCloseTo((21.863341 * (2 * 0.446 + 1.505) + 11.2562 * (2 * 1.15 + 1.2)) / 3000, 6);
    expect(reactanceOhm).toBeCloseTo((21.863341 * (2 * 0.071 + 0.083) + 11.2562 * (2 * 0.088 + 0.088)) / 3000, 5);
  });

  test('IEEE feeder: four kinds of cable to the last load', () => {
    const metresOhm = [
      [77.815261, 2 * 0.446 + 1.505],
      [60.4438, 2 * 0.469 + 1.581],
      [120.076705, 2 * 0.274 + 0.959],
      [18.8639, 2 * 1.15 + 1.2],
    ] as const;
    const sum = metresOhm.reduce((ohm, [metres, perKm]) => ohm + (metres * perKm) / 3000, 0);
    expect(loopOhm('ieee-eu-lv', 54).resistanceOhm).toBeCloseTo(sum, 6);
  });

  test('network V: two spans of Moon and a service of 2x50 to the first load, on L3', () => {
    const moonKm = 0.0574 + 0.0817;
    const serviceKm = 0.0375159;
    const { resistanceOhm, reactanceOhm } = loopOhm('csiro-v', 0);
    expect(resistanceOhm).toBeCloseTo(2 * (moonKm * 0.279 + serviceKm * 0.718), 5);
    // Two wires D apart: 2 · ωμ₀/2π · ln(D / GMR); L3 hangs 650 mm from the neutral, the cores lie 11.88 mm apart.
    const spanOhm = 2 * 0.0628319 * (moonKm * Math.log(650 / 5.17) + serviceKm * Math.log(11.88 / 3.222));
    expect(reactanceOhm).toBeCloseTo(spanOhm, 4);
  });

  test('with balanced loads the neutral carries nothing, with one it carries all', () => {
    const { network, points } = published('csiro-b');
    const { node } = points[0]!;
    const lossW = (powersW: readonly number[]) => {
      const flow = new PowerFlow(
        network,
        powersW.map((_, phase) => ({ node, phase })),
      );
      flow.solve(Float64Array.from(powersW), new Float64Array(powersW.length), new Float64Array(3).fill(231));
      return flow.lossW;
    };
    // The wires differ in what they induce, hence not exactly a half.
    expect(lossW([3000, 3000, 3000]) / (3 * lossW([3000]))).toBeCloseTo(0.5, 2);
  });

  test('lines of twice the length lose twice as much', () => {
    const { network, points } = published('csiro-n');
    const taps = points.map(({ node, phase }) => ({ node, phase: phase! }));
    const lossW = (factor: number) => {
      const flow = new PowerFlow(stretched(network, factor), taps);
      flow.solve(new Float64Array(67).fill(200), new Float64Array(67), new Float64Array(3).fill(231));
      return flow.lossW;
    };
    expect(lossW(2) / lossW(1)).toBeCloseTo(2, 1);
  });

  test('more homes than loads share them evenly', () => {
    const { points } = realNetwork('csiro-v', new Random(1), 20);
    const perNode = new Map<number, number>();
    for (const { node } of points) perNode.set(node, (perNode.get(node) ?? 0) + 1);
    expect(perNode.size).toBe(8);
    expect([...perNode.values()].every((homes) => homes === 2 || homes === 3)).toBe(true);
  });
});
