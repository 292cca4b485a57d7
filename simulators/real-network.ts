/** Real low-voltage networks by name: the IEEE European LV test feeder and three of CSIRO's Australian taxonomy. */

import { readFileSync } from 'node:fs';
import { CONDUCTORS, type Network } from './feeder.ts';
import { type ConnectionPoint, type DistrictNetwork, transformerOhm } from './network.ts';
import { busOf, parseOpenDss, property, type Statement } from './opendss.ts';
import type { Random } from './random.ts';
import { addImpedance, fromGeometry, fromSequence, type Impedance, noImpedance } from './wires.ts';

interface Published {
  readonly busbar: string;
  /** How many loads the files list; a district has as many users unless told otherwise. */
  readonly loads: number;
  /** Undefined = not said. */
  readonly ratingKva?: number;
  /** `lines`, `codes` and `loads`. */
  readonly files: readonly [lines: string, codes: string, loads: string];
}

const CSIRO = ['new_line.txt', 'new_linecode.txt', 'new_load.txt'] as const;

export const REAL_NETWORKS = {
  'ieee-eu-lv': { busbar: '1', loads: 55, ratingKva: 800, files: ['Lines.txt', 'LineCode.txt', 'Loads.txt'] },
  'csiro-n': { busbar: '6687', loads: 67, ratingKva: 200, files: CSIRO },
  'csiro-v': { busbar: '3102961', loads: 8, ratingKva: 50, files: CSIRO },
  'csiro-b': { busbar: '51', loads: 93, files: CSIRO },
} as const satisfies Readonly<Record<string, Published>>;
export type RealNetwork = keyof typeof REAL_NETWORKS;

interface Line {
  readonly bus: string;
  readonly impedance: Impedance;
  readonly lengthKm: number;
  readonly threePhase: boolean;
}

/** `userCount` homes at the published loads, in random order and, where there are more homes than loads, several at one. */
export function realNetwork(name: RealNetwork, random: Random, userCount: number): DistrictNetwork {
  const published: Published = REAL_NETWORKS[name];
  const [lines, codes, loads] = published.files.map((file) => readStatements(name, file));
  const points = loads!.map((load) => busOf(property(load, 'bus1')));
  const loaded = new Set(points.map(({ bus }) => bus));
  const tree = grow(published.busbar, neighbours(lines!, codes!), loaded);
  const places = points.map(({ bus, conductors }): ConnectionPoint => {
    const node = tree.nodeOf.get(bus)!;
    return { node, phase: conductors[0]! - 1, threePhase: tree.threePhase[node]! };
  });
  const order: ConnectionPoint[] = [];
  while (order.length < userCount) order.push(...(userCount > places.length ? random.shuffled(places) : places));
  const ratingOhm = transformerOhm(userCount, published.ratingKva);
  const branching = [...tree.threePhase.keys()].filter((node) => node > 0 && tree.threePhase[node]);
  return {
    network: toNetwork(tree, ratingOhm),
    points: order.slice(0, userCount),
    poles: branching,
  };
}

function readStatements(name: RealNetwork, file: string): Statement[] {
  return parseOpenDss(readFileSync(new URL(`./data/feeders/${name}/${file}`, import.meta.url), 'utf8'));
}

/** The lines that leave each bus, in both directions; circuits side by side count as one of half the length. */
function neighbours(lines: readonly Statement[], codes: readonly Statement[]): Map<string, Map<string, Line>> {
  const named = (kind: string) =>
    new Map(codes.filter((code) => code.kind === kind).map((code) => [code.name.toLowerCase(), code]));
  const [lineCodes, geometries, wires] = [named('linecode'), named('linegeometry'), named('wiredata')];
  const between = new Map<string, Map<string, Line>>();
  const join = (from: string, to: string, line: Line) => {
    const leaving = between.get(from) ?? new Map<string, Line>();
    const beside = leaving.get(to);
    leaving.set(to, beside ? { ...line, lengthKm: parallel(beside.lengthKm, line.lengthKm) } : line);
    between.set(from, leaving);
  };
  for (const line of lines) {
    const near = busOf(property(line, 'bus1'));
    const far = busOf(property(line, 'bus2'));
    const geometry = line.values.find(([key]) => key === 'geometry')?.[1].toLowerCase();
    const impedance =
      geometry === undefined
        ? fromSequence(lineCodes.get(property(line, 'linecode').toLowerCase())!)
        : fromGeometry(geometries.get(geometry)!, wires, near.conductors);
    const lengthKm = Number(property(line, 'length')) / (property(line, 'units') === 'm' ? 1000 : 1);
    const threePhase = [1, 2, 3].every((conductor) => near.conductors.includes(conductor));
    join(near.bus, far.bus, { bus: far.bus, impedance, lengthKm, threePhase });
    join(far.bus, near.bus, { bus: near.bus, impedance, lengthKm, threePhase });
  }
  return between;
}

function parallel(a: number, b: number): number {
  return (a * b) / (a + b);
}

interface Tree {
  readonly parent: number[];
  readonly impedance: Impedance[];
  readonly threePhase: boolean[];
  readonly nodeOf: Map<string, number>;
}

/** Walks from the busbar; a bus without load where nothing branches is no node, and a branch without load is none at all. */
function grow(busbar: string, between: ReadonlyMap<string, Map<string, Line>>, loaded: ReadonlySet<string>): Tree {
  const tree: Tree = { parent: [-1], impedance: [noImpedance()], threePhase: [true], nodeOf: new Map([[busbar, 0]]) };
  const seen = new Set([busbar]);
  const useful = (bus: string, from: string): boolean =>
    loaded.has(bus) || [...between.get(bus)!.keys()].some((next) => next !== from && useful(next, bus));
  const follow = (line: Line, from: string, parent: number, sum: Impedance): void => {
    if (seen.has(line.bus)) throw new Error(`the lines at ${line.bus} form a ring`);
    seen.add(line.bus);
    addImpedance(sum, line.impedance, line.lengthKm);
    const onward = [...between.get(line.bus)!.values()].filter(({ bus }) => bus !== from && useful(bus, line.bus));
    if (onward.length === 1 && !loaded.has(line.bus)) {
      follow(onward[0]!, line.bus, parent, sum);
      return;
    }
    const node = tree.parent.push(parent) - 1;
    tree.impedance.push(sum);
    tree.threePhase.push(line.threePhase);
    tree.nodeOf.set(line.bus, node);
    for (const next of onward) follow(next, line.bus, node, noImpedance());
  };
  for (const line of between.get(busbar)!.values()) {
    if (useful(line.bus, busbar)) follow(line, busbar, 0, noImpedance());
  }
  return tree;
}

function toNetwork({ parent, impedance }: Tree, ratingOhm: number): Network {
  const network: Network = {
    parent: Int32Array.from(parent),
    resistanceOhm: new Float64Array(parent.length * CONDUCTORS),
    reactanceOhm: new Float64Array(parent.length * CONDUCTORS * CONDUCTORS),
    transformerOhm: ratingOhm,
  };
  impedance.forEach((one, node) => {
    network.resistanceOhm.set(one.resistanceOhm, node * CONDUCTORS);
    network.reactanceOhm.set(one.reactanceOhm, node * CONDUCTORS * CONDUCTORS);
  });
  return network;
}
