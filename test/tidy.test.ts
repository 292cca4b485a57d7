/** Taste as a test: who may import whom, what a file may be called and how long it may be, and that nothing lies about unused. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, extname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DEMO } from '../simulators/demo-texts.ts';
import { errorText, TEXTS } from '../simulators/texts.ts';
import { VERDICTS as ACCURACY_VERDICTS } from '../src/accuracy/district.ts';
import { ERROR_STATUS } from '../src/errors.ts';
import { SEVERITIES } from '../src/fleet/finding.ts';
import { TASK_KINDS, TASK_STATES, VERDICTS } from '../src/fleet/task.ts';
import { ACTIONS } from '../src/tasks/workflow.ts';
import {
  VERDICT_NAMES as ACCURACY_VERDICT_NAMES,
  CHANGE_TEXTS,
  DISTRICT_NOTES,
  METHOD_TEXTS,
  VERDICT_REASONS,
} from '../src/texts/accuracy.ts';
import { CLI } from '../src/texts/cli.ts';
import { ERRORS, PROBLEMS } from '../src/texts/errors.ts';
import { RUN_STATE_NAMES } from '../src/texts/estimates.ts';
import { COLUMN_TEXTS, DATASET_TEXTS, EXPORT, QUANTITY_TEXTS, SCHEMA_TEXTS } from '../src/texts/handover.ts';
import { INFLUX_CHANGES, INFLUX_STEPS, INFLUX_WARNINGS } from '../src/texts/influx.ts';
import { OFFLINE, SCORE_COLUMNS, SCORE_GROUPS, SCORE_LEGEND } from '../src/texts/offline.ts';
import { REASONS } from '../src/texts/reasons.ts';
import {
  ACTION_NAMES,
  HISTORY_SENTENCES,
  KIND_NAMES,
  SEVERITY_NAMES,
  STATE_NAMES,
  SYSTEM_NAME,
  VERDICT_NAMES,
} from '../src/texts/tasks.ts';
import { LANGUAGES, type Text } from '../src/texts/text.ts';
import { DEV_CA } from '../src/texts/tls.ts';

const ROOT = resolve(import.meta.dirname, '..');
const ENTRIES = ['src/main.ts', 'simulators/main.ts', 'simulators/demo.ts', 'bench/main.ts'];
/** When a file grows past that, it usually holds two things. */
const MAX_LINES = 450;

interface SourceFile {
  /** From the root, with slashes. */
  readonly path: string;
  readonly text: string;
  /** Without comments and without the content of string literals. */
  readonly code: string;
  readonly imports: readonly Import[];
}

interface Import {
  readonly from: string;
  /** From the root for our own files; packages as they are named. */
  readonly target: string;
  readonly typeOnly: boolean;
}

function walk(dir: string): string[] {
  return readdirSync(join(ROOT, dir), { withFileTypes: true }).flatMap((entry) => {
    const path = `${dir}/${entry.name}`;
    return entry.isDirectory() ? walk(path) : [path];
  });
}

function read(path: string): SourceFile {
  const text = readFileSync(join(ROOT, path), 'utf8');
  const uncommented = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1');
  const code = uncommented.replace(/'(?:[^'\\\n]|\\.)*'/g, "''").replace(/"(?:[^"\\\n]|\\.)*"/g, '""');
  return { path, text, code, imports: importsOf(path, uncommented) };
}

function importsOf(path: string, text: string): Import[] {
  const statement = /^(?:import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s+)?'([^']+)'/gm;
  const called = /\bimport\(\s*'([^']+)'\s*\)/g;
  const url = /\bnew URL\('([^']+\.ts)',\s*import\.meta\.url\)/g;
  const found = [
    ...[...text.matchAll(statement)].map(([, type, from]) => ({ from: from!, typeOnly: type !== undefined })),
    ...[...text.matchAll(called), ...text.matchAll(url)].map(([, from]) => ({ from: from!, typeOnly: false })),
  ];
  return found.map((one) => ({
    ...one,
    target: one.from.startsWith('.') ? relative(ROOT, resolve(ROOT, dirname(path), one.from)) : one.from,
  }));
}

const FILES = ['src', 'simulators', 'test', 'bench']
  .flatMap(walk)
  .filter((path) => extname(path) === '.ts')
  .map(read);
const SRC = FILES.filter(({ path }) => path.startsWith('src/'));
const inside = (folder: string) => FILES.filter(({ path }) => path.startsWith(`${folder}/`));

/** Imports of these files that `allowed` does not let them have. */
function forbidden(files: readonly SourceFile[], allowed: (target: string, file: SourceFile) => boolean): string[] {
  expect(files.length, 'the rule speaks of files that are there').toBeGreaterThan(0);
  return files.flatMap((file) =>
    file.imports.filter(({ target }) => !allowed(target, file)).map(({ from }) => `${file.path} imports ${from}`),
  );
}

const among = (...prefixes: string[]) => {
  return (target: string) =>
    prefixes.some((prefix) => target === prefix || (prefix.endsWith('/') && target.startsWith(prefix)));
};

const SHARED = [
  'src/fleet/',
  'src/texts/',
  'src/errors.ts',
  'src/nearest.ts',
  'src/problems.ts',
  'src/config-part.ts',
  'zod',
];
const INGEST = ['decode', 'decoders', 'profile', 'units'].map((name) => `src/ingest/${name}.ts`);
const TASKS = ['workflow', 'dispatch', 'measurement', 'policy', 'steps'].map((name) => `src/tasks/${name}.ts`);
const HANDOVER = ['calendar', 'datasets', 'manifest', 'plan', 'run', 'schema', 'target'].map(
  (name) => `src/handover/${name}.ts`,
);
const named = (paths: readonly string[]) => FILES.filter(({ path }) => paths.includes(path));

/** Files whose functions take the time and chance they need as arguments. */
const PURE = [
  ...inside('src/fleet'),
  ...inside('src/rules'),
  ...inside('src/accuracy'),
  ...inside('src/texts'),
  ...named(INGEST),
  ...named(TASKS),
  ...named(HANDOVER),
  ...named([
    'src/nearest.ts',
    'src/errors.ts',
    'src/problems.ts',
    'src/config-part.ts',
    'src/kinds.ts',
    'src/broker/in-order.ts',
    'src/broker/packet-lengths.ts',
    'simulators/demo-table.ts',
  ]),
];

describe('imports', () => {
  it('are found: a rule about none would always hold', () => {
    const ingest = FILES.find(({ path }) => path === 'src/app/ingest.ts')!.imports.map(({ target }) => target);
    expect(ingest).toContain('src/pipeline.ts');
    expect(ingest).toContain('src/broker/aedes.ts');
    const foundation = FILES.find(({ path }) => path === 'src/app/foundation.ts')!.imports;
    expect(foundation.map(({ target }) => target)).toContain('pg');
    const decode = FILES.find(({ path }) => path === 'src/ingest/decode.ts')!.imports;
    expect(decode).toContainEqual({ from: '../errors.ts', target: 'src/errors.ts', typeOnly: true });
    const parts = FILES.find(({ path }) => path === 'src/inspector/server.ts')!.imports.map(({ target }) => target);
    expect(parts.filter((target) => target === 'src/inspector/parts.ts')).toHaveLength(2);
  });

  it('of fleet/ are fleet/', () => {
    expect(forbidden(inside('src/fleet'), among('src/fleet/'))).toEqual([]);
  });

  it('of rules/ are rules/ and what everybody shares', () => {
    expect(forbidden(inside('src/rules'), among('src/rules/', ...SHARED))).toEqual([]);
  });

  it('of accuracy/ are accuracy/ and what everybody shares', () => {
    const allowed = among('src/accuracy/', ...SHARED);
    expect(forbidden(inside('src/accuracy'), (target) => allowed(target) || /^numpy-ts\b/.test(target))).toEqual([]);
  });

  it('of decoding are decoding and what everybody shares', () => {
    expect(named(INGEST)).toHaveLength(INGEST.length);
    expect(forbidden(named(INGEST), among(...INGEST, ...SHARED))).toEqual([]);
  });

  it('of the workflow of tasks are itself and what everybody shares', () => {
    expect(named(TASKS)).toHaveLength(TASKS.length);
    expect(forbidden(named(TASKS), among(...TASKS, ...SHARED))).toEqual([]);
  });

  it('of the plan of a hand-over are itself and what everybody shares', () => {
    expect(named(HANDOVER)).toHaveLength(HANDOVER.length);
    expect(forbidden(named(HANDOVER), among(...HANDOVER, ...SHARED))).toEqual([]);
  });

  it('of texts/ are texts/ and the names they give sentences to', () => {
    const names = among(
      'src/texts/',
      'src/fleet/',
      'src/errors.ts',
      'src/tasks/workflow.ts',
      'src/accuracy/district.ts',
      'commander',
    );
    expect(forbidden(inside('src/texts'), names)).toEqual([]);
    const values = inside('src/texts').flatMap(({ imports }) => imports.filter(({ typeOnly }) => !typeOnly));
    expect(values.filter(({ target }) => !target.startsWith('src/texts/'))).toEqual([]);
  });

  it('of src/ are never simulators, tests or the bench', () => {
    expect(forbidden(SRC, (target) => !among('simulators/', 'test/', 'bench/')(target))).toEqual([]);
  });

  it('of simulators/ from src/ are fleet/ and texts/: they speak to the service by MQTT, HTTP and the fleet folder', () => {
    const allowed = among('src/fleet/', 'src/texts/');
    expect(forbidden(inside('simulators'), (target) => !/^(src|test|bench)\//.test(target) || allowed(target))).toEqual(
      [],
    );
  });

  it('of the app and the command line are nobody’s but tests’ and the bench’s', () => {
    const wiring = ['src/app.ts', 'src/main.ts', 'src/command-line.ts', 'src/app/', 'src/commands/'];
    const others = SRC.filter(({ path }) => !among(...wiring)(path));
    expect(forbidden(others, (target) => !among(...wiring)(target))).toEqual([]);
  });

  it('of products stand in files named after them', () => {
    const owners: readonly [string, RegExp][] = [
      ['aedes', /^src\/broker\/aedes\.ts$/],
      ['bullmq', /^src\/tasks\/bullmq(-[a-z]+)?\.ts$/],
      ['ioredis', /^src\/tasks\/redis\.ts$/],
      ['pg-copy-streams', /^src\/store\/postgres-/],
      ['@influxdata/influxdb-client', /^src\/store\/influxdb-/],
      ['pg', /^src\/(store\/(embedded-)?postgres|app\/(accuracy|foundation)\.ts$)/],
      ['@duckdb/node-api', /^src\/handover\/duckdb-parquet\.ts$/],
      ['@aws-sdk/client-s3', /^src\/handover\/s3\.ts$/],
      ['@aws-sdk/lib-storage', /^src\/handover\/s3\.ts$/],
      ['fastify', /^src\/inspector\//],
      ['yaml', /^src\/config\.ts$/],
    ];
    const strangers = owners.flatMap(([product, owner]) => {
      const users = SRC.filter(({ imports }) => imports.some(({ target }) => target === product));
      expect(users.length, product).toBeGreaterThan(0);
      return users.filter(({ path }) => !owner.test(path)).map(({ path }) => `${path} imports ${product}`);
    });
    expect(strangers).toEqual([]);
  });

  it('point at files, and name their extension', () => {
    const broken = FILES.flatMap(({ path, imports }) =>
      imports
        .filter(({ from, target }) => from.startsWith('.') && !(existsSync(join(ROOT, target)) && extname(target)))
        .map(({ from }) => `${path} imports ${from}`),
    );
    expect(broken).toEqual([]);
  });
});

describe('pure files', () => {
  it('read no clock, draw no chance, set no timer and touch no process', () => {
    const impure =
      /\b(?:Date\.now|new Date\(\s*\)|Math\.random|performance\.|process\.|set(?:Timeout|Interval|Immediate)\b|queueMicrotask|crypto\.)/g;
    const found = PURE.flatMap(({ path, code }) => [...code.matchAll(impure)].map(([word]) => `${path}: ${word}`));
    expect(found).toEqual([]);
    // The expression does see what it looks for.
    const foundation = SRC.find(({ path }) => path === 'src/app/foundation.ts')!.code;
    expect([...foundation.matchAll(impure)].map(([word]) => word)).toContain('Date.now');
  });

  it('import nothing of Node', () => {
    expect(forbidden(PURE, (target) => !target.startsWith('node:'))).toEqual([]);
  });

  it('leave the environment to the command line, which hands it to config.ts', () => {
    const readers = SRC.filter(({ code }) => /\bprocess\.env\b/.test(code)).map(({ path }) => path);
    // PostgreSQL's programs are given a few names of it.
    expect(readers).toEqual(['src/command-line.ts', 'src/main.ts', 'src/store/embedded-postgres-cluster.ts']);
  });
});

describe('names and sizes', () => {
  it('no drawer for everything', () => {
    const drawers = new Set(['utils', 'util', 'common', 'helpers', 'helper', 'misc', 'lib', 'types']);
    const named = FILES.map(({ path }) => path).filter((path) =>
      path.split('/').some((part) => drawers.has(basename(part, '.ts').toLowerCase())),
    );
    expect(named).toEqual([]);
  });

  it('names are lower case with hyphens', () => {
    expect(FILES.map(({ path }) => path).filter((path) => !/^[a-z0-9/.-]+$/.test(path))).toEqual([]);
  });

  it.each([
    ['src', MAX_LINES],
    ['simulators', MAX_LINES],
  ])('no file of %s is longer than %i lines', (folder, limit) => {
    const long = inside(folder)
      .map(({ path, text }) => ({ path, lines: text.split('\n').length }))
      .filter(({ lines }) => lines > limit);
    expect(long).toEqual([]);
  });

  it('the first file a newcomer reads begins with what it is for', () => {
    const pipeline = SRC.find(({ path }) => path === 'src/pipeline.ts')!;
    expect(pipeline.text).toMatch(/^\/\*\*\n \* One reading's journey\./);
  });

  it('no code is typed any', () => {
    const loose = SRC.filter(({ code }) => /[:<|,]\s*any\b(?!\()|\bas any\b|\bany\[\]/.test(code)).map(
      ({ path }) => path,
    );
    expect(loose).toEqual([]);
    const silenced = SRC.filter(({ text }) => /@ts-(ignore|nocheck|expect-error)|noExplicitAny/.test(text));
    expect(silenced.map(({ path }) => path)).toEqual([]);
  });

  it('nothing is left to do and nothing is focused or skipped by hand', () => {
    const word = new RegExp(`\\b(${['TO', 'DO'].join('')}|${['FIX', 'ME'].join('')}|${['X', 'XX'].join('')})\\b`);
    expect(FILES.filter(({ text }) => word.test(text)).map(({ path }) => path)).toEqual([]);
    const focused = inside('test').filter(({ code }) => /\b(?:it|test|describe)\.(?:only|skip|todo)\(/.test(code));
    expect(focused.map(({ path }) => path)).toEqual([]);
  });
});

describe('nothing lies about unused', () => {
  it('every file is imported by another or an entry of package.json', () => {
    const imported = new Set(
      FILES.flatMap(({ path, imports }) => imports.map(({ target }) => (target === path ? '' : target))),
    );
    const spawned = (path: string) =>
      FILES.some((file) => file.path !== path && file.text.includes(`'${basename(path)}'`));
    const dead = FILES.map(({ path }) => path).filter(
      (path) =>
        !imported.has(path) &&
        !ENTRIES.includes(path) &&
        !path.endsWith('.test.ts') &&
        !['test/support/postgres-server.ts'].includes(path) &&
        !spawned(path),
    );
    expect(dead).toEqual([]);
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    for (const entry of ENTRIES) expect(Object.values(scripts).join(' '), entry).toContain(entry);
  });

  it('every file of src is used by src: tests alone keep nothing alive', () => {
    const used = new Set(SRC.flatMap(({ imports }) => imports.map(({ target }) => target)));
    const bySimulators = new Set(inside('simulators').flatMap(({ imports }) => imports.map(({ target }) => target)));
    const dead = SRC.map(({ path }) => path).filter(
      (path) => path !== 'src/main.ts' && !used.has(path) && !bySimulators.has(path),
    );
    expect(dead).toEqual([]);
  });

  it('every export of src is used by another file', () => {
    const declared = /^export (?:async )?(?:function|class|const|interface|type) (\w+)/gm;
    const unused = SRC.flatMap(({ path, code }) => {
      const others = FILES.filter((file) => file.path !== path).map((file) => file.code);
      return [...code.matchAll(declared)]
        .map(([, name]) => name!)
        .filter((name) => {
          const word = new RegExp(`\\b${name}\\b`);
          if (others.some((text) => word.test(text))) return false;
          // A shape that an exported function takes or gives is part of its description.
          return code.match(new RegExp(`\\b${name}\\b`, 'g'))!.length < 2;
        })
        .map((name) => `${path}: ${name}`);
    });
    expect(unused).toEqual([]);
  });

  it('every package of package.json is imported or called', () => {
    const { dependencies, devDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<
      'dependencies' | 'devDependencies',
      Record<string, string>
    >;
    const imported = new Set(FILES.flatMap(({ imports }) => imports.map(({ target }) => target)));
    // Loaded by name for the machine it runs on.
    const otherwise = new Set(['embedded-postgres']);
    const idle = Object.keys(dependencies).filter((name) => !imported.has(name) && !otherwise.has(name));
    expect(idle).toEqual([]);
    const inService = new Set(SRC.flatMap(({ imports }) => imports.map(({ target }) => target)));
    expect(Object.keys(devDependencies).filter((name) => inService.has(name))).toEqual([]);
  });
});

describe('migrations', () => {
  const names = readdirSync(join(ROOT, 'src/store/migrations')).sort();

  it('are numbered without a gap, each once, and named after what they bring', () => {
    expect(names.map((name) => /^(\d{3})-[a-z-]+\.sql$/.exec(name)?.[1])).toEqual(
      names.map((_, i) => String(i + 1).padStart(3, '0')),
    );
    expect(names.length).toBeGreaterThan(0);
  });

  it('leave the transaction to the one who runs them', () => {
    for (const name of names) {
      const sql = readFileSync(join(ROOT, 'src/store/migrations', name), 'utf8');
      expect(sql.trim(), name).not.toBe('');
      // BEGIN of a function's body is another.
      expect(sql.replace(/\$\$[\s\S]*?\$\$/g, ''), name).not.toMatch(/^\s*(BEGIN|COMMIT|ROLLBACK)\b/im);
    }
  });
});

describe('texts', () => {
  const simulatorErrors = [
    ...readFileSync(join(ROOT, 'simulators/errors.ts'), 'utf8').matchAll(/^ {2}\| '(\w+)'/gm),
  ].map(([, code]) => code!);

  const { describe: settings, ...cli } = CLI;
  const catalogues: Readonly<Record<string, Readonly<Record<string, Text>>>> = {
    errors: ERRORS,
    problems: PROBLEMS,
    reasons: REASONS,
    'influx steps': INFLUX_STEPS,
    'influx changes': INFLUX_CHANGES,
    'influx warnings': INFLUX_WARNINGS,
    export: EXPORT,
    schema: SCHEMA_TEXTS,
    datasets: DATASET_TEXTS,
    quantities: QUANTITY_TEXTS,
    'columns of readings': COLUMN_TEXTS.readings,
    'columns of findings': COLUMN_TEXTS.findings,
    'columns of tasks': COLUMN_TEXTS.tasks,
    'columns of estimates': COLUMN_TEXTS.estimates,
    'states of runs': RUN_STATE_NAMES,
    kinds: KIND_NAMES,
    states: STATE_NAMES,
    verdicts: VERDICT_NAMES,
    actions: ACTION_NAMES,
    history: HISTORY_SENTENCES,
    severities: SEVERITY_NAMES,
    system: { system: SYSTEM_NAME },
    cli,
    settings,
    'accuracy verdicts': ACCURACY_VERDICT_NAMES,
    'accuracy reasons': VERDICT_REASONS,
    'notes on districts': DISTRICT_NOTES,
    methods: METHOD_TEXTS,
    changes: CHANGE_TEXTS,
    offline: OFFLINE,
    'score columns': SCORE_COLUMNS,
    'score groups': SCORE_GROUPS,
    'score legend': { legend: SCORE_LEGEND },
    'dev-ca': DEV_CA,
    demo: DEMO,
    simulators: TEXTS,
    'simulator errors': Object.fromEntries(
      simulatorErrors.map((code) => [
        code,
        { 'zh-CN': errorText('zh-CN', code as never, {}), en: errorText('en', code as never, {}) },
      ]),
    ),
  };
  const entries = Object.entries(catalogues).flatMap(([catalogue, texts]) =>
    Object.entries(texts).map(([name, text]) => ({ name: `${catalogue}.${name}`, text })),
  );

  it('are all here', () => {
    expect(simulatorErrors.length).toBeGreaterThan(5);
    for (const [catalogue, texts] of Object.entries(catalogues))
      expect(Object.keys(texts).length, catalogue).toBeGreaterThan(0);
    const covered: readonly (readonly [readonly string[], object])[] = [
      [Object.keys(ERROR_STATUS), ERRORS],
      [TASK_KINDS, KIND_NAMES],
      [TASK_STATES, STATE_NAMES],
      [VERDICTS, VERDICT_NAMES],
      [ACCURACY_VERDICTS, ACCURACY_VERDICT_NAMES],
      [ACTIONS, ACTION_NAMES],
      [SEVERITIES, SEVERITY_NAMES],
    ];
    for (const [codes, texts] of covered) expect(Object.keys(texts).sort()).toEqual([...codes].sort());
    for (const action of ACTIONS) expect(HISTORY_SENTENCES, action).toHaveProperty(action);
  });

  it('exist in both languages', () => {
    const incomplete = entries.filter(({ text }) => {
      const same = Object.keys(text).sort().join() === [...LANGUAGES].sort().join();
      return !same || LANGUAGES.some((language) => text[language].trim() === '');
    });
    expect(incomplete).toEqual([]);
  });

  it('have the same placeholders in both languages', () => {
    const placeholders = (sentence: string) => [...new Set(sentence.match(/\{\w+\}/g) ?? [])].sort().join(' ');
    const uneven = entries.filter(({ text }) => placeholders(text['zh-CN']) !== placeholders(text.en));
    expect(uneven).toEqual([]);
  });

  it('are Chinese in Chinese and have no Chinese in English', () => {
    const han = /\p{Script=Han}/u;
    const untranslated = entries.filter(({ name, text }) => {
      const words = text['zh-CN'].replace(/\{\w+\}/g, '').replace(/[\W\d]/g, '');
      const codeOnly = name === 'simulators.expectPeriod' || words === '';
      return han.test(text.en) || (!han.test(text['zh-CN']) && !codeOnly);
    });
    expect(untranslated).toEqual([]);
  });

  it('stand in the catalogues: no Chinese anywhere else in src', () => {
    const scattered = SRC.filter(({ path }) => !path.startsWith('src/texts/'))
      .filter(({ text }) => /\p{Script=Han}/u.test(text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/\s\/\/.*$/gm, '')))
      .map(({ path }) => path);
    expect(scattered).toEqual([]);
  });
});

it('no file is empty', () => {
  expect(FILES.filter(({ path }) => statSync(join(ROOT, path)).size === 0).map(({ path }) => path)).toEqual([]);
});
