/**
 * The life of a task.
 *
 * A finding raises it; dispatch or a supervisor assigns it to an inspector of its region, or an inspector takes it from the
 * queue; its assignee accepts it, or declines and it is raised again for somebody else. On site the assignee completes it (the
 * finding is confirmed, or nobody let them in) or refutes the finding. A supervisor closes what was reported, or reopens it;
 * what needs no visit is closed at once, with a verdict. Closed is the end: nothing leaves it, and every closed task has a verdict.
 *
 * A meter that was said to be inaccurate is measured on site: the measured error decides whether that was so, and a confirmed one
 * raises a task to replace the meter, which is done when another one is in service in its place.
 *
 * A finding that joins a task after its outcome was reported contradicts that outcome: as long as it is open the task can be
 * reopened but not closed.
 */
import { MeterwardenError } from '../errors.ts';
import { regionCovers } from '../fleet/region.ts';
import { type TaskKind, type TaskState, VERDICTS, type Verdict } from '../fleet/task.ts';
import type { Problem } from '../texts/errors.ts';
import type { Params } from '../texts/text.ts';
import { judgeMeasurement, type Measurement } from './measurement.ts';

export const ACTIONS = [
  'assign',
  'reassign',
  'accept',
  'decline',
  'measure',
  'complete',
  'refute',
  'replace',
  'reopen',
  'close',
] as const;
export type Action = (typeof ACTIONS)[number];

export type ActorRole = 'system' | 'admin' | 'supervisor' | 'inspector';

export interface Actor {
  readonly username: string;
  readonly role: ActorRole;
  readonly region: string;
}

/** The service itself, as it stands in the history. */
export const SYSTEM: Actor = { username: 'system', role: 'system', region: '' };

export interface ActionInput {
  readonly assignee?: string | undefined;
  readonly verdict?: Verdict | undefined;
  readonly note?: string | undefined;
  readonly measurement?: Measurement | undefined;
  readonly replacement?: Replacement | undefined;
}

/** Another meter in the place of the one a task is about. */
export interface Replacement {
  /** Ledger id; the same as before when the new meter has taken it over. */
  readonly instrument: string;
  /** Epoch ms; undefined = when it is entered. */
  readonly replacedAtMs?: number | undefined;
}

export const NOTE_MAX_CHARS = 2_000;

/** What a transition needs to know of its task. */
export interface TaskPosition {
  readonly id: string;
  readonly kind: TaskKind;
  /** The MPE of its meter; null = it is about nothing that is measured on site. */
  readonly mpePct: number | null;
  readonly region: string;
  readonly state: TaskState;
  readonly assignee: string | null;
  readonly verdict: Verdict | null;
  /** The action that led to this state and who took it; null when it was raised. */
  readonly last: { readonly action: string; readonly actor: string } | null;
  /** Open findings that joined after the outcome was reported. */
  readonly laterFindings: number;
}

export interface Transition {
  readonly to: TaskState;
  readonly assignee: string | null;
  readonly verdict: Verdict | null;
  readonly note: string;
  readonly starts: Starts;
  /** What else stands in the history. */
  readonly told: Params;
}

/** What begins anew: the search for an inspector, and the period within which the task must be accepted. */
type Starts = readonly ('dispatch' | 'acceptance')[];

type Who = 'system' | 'supervisor' | 'inspector' | 'assignee';
type Need = 'assignee' | 'verdict' | 'note' | 'measurement' | 'replacement';

interface Edge {
  readonly from: TaskState;
  readonly action: Action;
  readonly to: TaskState;
  readonly who: readonly Who[];
  readonly needs: readonly Need[];
  readonly verdicts?: readonly Verdict[];
  /** What it comes to: of a measurement, the edge that is taken. */
  readonly found?: Verdict;
  /** Of other tasks it is not offered. */
  readonly kinds?: readonly TaskKind[];
  readonly starts?: Starts;
}

const MEASURED: readonly TaskKind[] = ['verify-on-site', 'spot-check'];

const EDGES: readonly Edge[] = [
  { from: 'raised', action: 'assign', to: 'assigned', who: ['system', 'supervisor'], needs: ['assignee'] },
  { from: 'raised', action: 'accept', to: 'accepted', who: ['inspector'], needs: [] },
  {
    from: 'raised',
    action: 'close',
    to: 'closed',
    who: ['supervisor'],
    needs: ['verdict', 'note'],
    verdicts: VERDICTS,
  },
  { from: 'assigned', action: 'reassign', to: 'assigned', who: ['supervisor'], needs: ['assignee'] },
  { from: 'assigned', action: 'accept', to: 'accepted', who: ['assignee'], needs: [] },
  { from: 'assigned', action: 'decline', to: 'raised', who: ['assignee'], needs: ['note'], starts: ['dispatch'] },
  {
    from: 'assigned',
    action: 'close',
    to: 'closed',
    who: ['supervisor'],
    needs: ['verdict', 'note'],
    verdicts: VERDICTS,
  },
  {
    from: 'accepted',
    action: 'reassign',
    to: 'assigned',
    who: ['supervisor'],
    needs: ['assignee'],
    starts: ['acceptance'],
  },
  {
    from: 'accepted',
    action: 'decline',
    to: 'raised',
    who: ['assignee'],
    needs: ['note'],
    starts: ['dispatch', 'acceptance'],
  },
  {
    from: 'accepted',
    action: 'complete',
    to: 'done',
    who: ['assignee'],
    needs: ['verdict'],
    verdicts: ['confirmed', 'no-access'],
  },
  { from: 'accepted', action: 'refute', to: 'refuted', who: ['assignee'], needs: ['note'], found: 'refuted' },
  {
    from: 'accepted',
    action: 'measure',
    to: 'done',
    who: ['assignee'],
    needs: ['measurement'],
    found: 'confirmed',
    kinds: MEASURED,
  },
  {
    from: 'accepted',
    action: 'measure',
    to: 'refuted',
    who: ['assignee'],
    needs: ['measurement'],
    found: 'refuted',
    kinds: MEASURED,
  },
  {
    from: 'accepted',
    action: 'replace',
    to: 'done',
    who: ['assignee'],
    needs: ['replacement'],
    found: 'confirmed',
    kinds: ['replace'],
  },
  { from: 'done', action: 'reopen', to: 'assigned', who: ['supervisor'], needs: ['note'], starts: ['acceptance'] },
  { from: 'done', action: 'close', to: 'closed', who: ['supervisor'], needs: [] },
  { from: 'refuted', action: 'reopen', to: 'assigned', who: ['supervisor'], needs: ['note'], starts: ['acceptance'] },
  { from: 'refuted', action: 'close', to: 'closed', who: ['supervisor'], needs: [] },
];

/** What `actor` may do with a task now: the buttons of a screen. */
export function allowedActions(task: TaskPosition, actor: Actor): Action[] {
  if (!regionCovers(actor.region, task.region)) return [];
  const edges = EDGES.filter((edge) => offered(edge, task) && permits(edge, task, actor) && !contradicted(edge, task));
  return [...new Set(edges.map(({ action }) => action))];
}

/**
 * Where an action leads, or a MeterwardenError: `conflict` when this actor has just done it, `transition_not_allowed` when
 * the state does not offer it, `forbidden` when it is not this actor's to do, `invalid_request` when something it needs is missing.
 */
export function transition(task: TaskPosition, action: Action, actor: Actor, input: ActionInput): Transition {
  const edges = EDGES.filter((candidate) => offered(candidate, task) && candidate.action === action);
  const [first] = edges;
  if (!first) {
    const repeated = task.last?.action === action && task.last.actor === actor.username;
    throw refusal(repeated ? 'conflict' : 'transition_not_allowed', task, action);
  }
  if (!regionCovers(actor.region, task.region) || !permits(first, task, actor))
    throw refusal('forbidden', task, action);
  const measured = action === 'measure' ? siteVerdict(task, input) : undefined;
  const edge = edges.find(({ found }) => found === measured) ?? first;
  if (contradicted(edge, task)) throw refusal('transition_not_allowed', task, action, 'findings');
  const note = (input.note ?? '').trim();
  if (note.length > NOTE_MAX_CHARS) throw invalid('note', 'too_long', { limit: NOTE_MAX_CHARS });
  if (edge.needs.includes('note') && note === '') throw invalid('note', 'required');
  if (edge.needs.includes('replacement') && !input.replacement) throw invalid('replacement', 'required');
  return {
    to: edge.to,
    assignee: assigneeAfter(edge, task, actor, input),
    verdict: verdictAfter(edge, task, input),
    note,
    starts: edge.starts ?? [],
    told: toldOf(action, task, input),
  };
}

/** The table offers it in this state, of such a task. */
function offered({ from, action, kinds }: Edge, { state, kind, mpePct }: TaskPosition): boolean {
  return from === state && (kinds?.includes(kind) ?? true) && (action !== 'measure' || mpePct !== null);
}

function siteVerdict({ mpePct }: TaskPosition, { measurement }: ActionInput): Verdict {
  if (!measurement) throw invalid('measurement', 'required');
  const verdict = judgeMeasurement(measurement, mpePct!);
  if (verdict === undefined) throw invalid('measurement', 'not_decisive', { mpe_pct: mpePct! });
  return verdict;
}

function toldOf(action: Action, { mpePct }: TaskPosition, { measurement, replacement }: ActionInput): Params {
  if (action === 'measure' && measurement) {
    const { errorPct, expandedUncertaintyPct, standard } = measurement;
    return { error_pct: errorPct, uncertainty_pct: expandedUncertaintyPct, mpe_pct: mpePct!, standard };
  }
  return action === 'replace' && replacement ? { instrument: replacement.instrument } : {};
}

function permits(edge: Edge, task: TaskPosition, actor: Actor): boolean {
  return edge.who.some((who) => {
    if (who === 'assignee') return actor.username === task.assignee && actor.role !== 'system';
    if (who === 'supervisor') return actor.role === 'supervisor' || actor.role === 'admin';
    return actor.role === who;
  });
}

function contradicted(edge: Edge, task: TaskPosition): boolean {
  return edge.action === 'close' && (task.state === 'done' || task.state === 'refuted') && task.laterFindings > 0;
}

function assigneeAfter(edge: Edge, task: TaskPosition, actor: Actor, input: ActionInput): string | null {
  if (edge.needs.includes('assignee')) {
    if (!input.assignee) throw invalid('assignee', 'required');
    if (input.assignee === task.assignee && task.state === edge.to) throw refusal('conflict', task, edge.action);
    return input.assignee;
  }
  if (edge.action === 'decline') return null;
  return edge.action === 'accept' ? actor.username : task.assignee;
}

function verdictAfter(edge: Edge, task: TaskPosition, input: ActionInput): Verdict | null {
  if (edge.found !== undefined) return edge.found;
  if (edge.action === 'reopen') return null;
  if (!edge.verdicts) return task.verdict;
  if (!input.verdict || !edge.verdicts.includes(input.verdict)) {
    throw invalid('verdict', 'one_of', { allowed: edge.verdicts.join(' | ') });
  }
  return input.verdict;
}

function refusal(
  code: 'conflict' | 'transition_not_allowed' | 'forbidden',
  task: TaskPosition,
  action: Action,
  because = 'state',
): MeterwardenError {
  const params = { task: task.id, state: task.state, action, because };
  return new MeterwardenError(code, { params: code === 'conflict' ? { ...params, problem: 'done_already' } : params });
}

function invalid(path: Need, problem: Problem, params: Params = {}): MeterwardenError {
  return new MeterwardenError('invalid_request', { path, params: { problem, ...params } });
}

/** The table as ARCHITECTURE.md shows it. */
export function workflowTable(): string {
  const shown = (need: Need, { verdicts, found }: Edge): string => {
    if (need === 'verdict') return `verdict (${verdicts!.join(', ')})`;
    return need === 'measurement' ? `measurement (${found})` : need;
  };
  const rows = EDGES.map((edge) => [
    edge.from,
    edge.action,
    edge.to,
    edge.who.join(', '),
    edge.needs.map((need) => shown(need, edge)).join(', '),
    (edge.kinds ?? ['all']).join(', '),
    (edge.starts ?? []).join(', '),
  ]);
  const header = ['state', 'action', 'becomes', 'who', 'needs', 'of tasks', 'starts anew'];
  return [header, header.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
