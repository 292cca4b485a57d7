/** The queue of tasks, one task with its evidence, and what people do with it. */
import { z } from 'zod';
import { SEVERITIES } from '../fleet/finding.ts';
import { TASK_KINDS, TASK_STATES } from '../fleet/task.ts';
import { ACTIONS, type ActionInput, allowedActions } from '../tasks/workflow.ts';
import { actorOf, SECURITY } from './auth.ts';
import { languageOf } from './errors.ts';
import type { Api, InspectorParts } from './parts.ts';
import { answers, choices, idText, next, paging, shortText } from './schemas.ts';
import { actedTask, actionBody, task, taskDetail } from './task-schemas.ts';
import { Words } from './words.ts';

const TAGS = ['tasks'];

const filter = z.strictObject({
  kind: choices(TASK_KINDS),
  state: choices(TASK_STATES),
  region: shortText.optional(),
  severity: choices(SEVERITIES),
  assignee: idText.optional(),
  instrument: shortText.optional(),
  ...paging,
});

export function taskRoutes(api: Api, { tasks, rules, nowMs }: InspectorParts): void {
  api.get(
    '/tasks',
    {
      schema: {
        tags: TAGS,
        summary: 'Tasks, newest first',
        security: SECURITY,
        querystring: filter,
        response: answers({ 200: z.object({ tasks: z.array(task), next }) }),
      },
    },
    async (request) => {
      const { kind, state, region, severity, ...rest } = request.query;
      const page = await tasks.list({
        ...rest,
        kinds: kind,
        states: state,
        severities: severity,
        regions: region === undefined ? undefined : [region],
        visibleRegion: actorOf(request).region,
      });
      const words = new Words(rules, languageOf(request));
      return { tasks: page.rows.map((row) => words.task(row)), next: page.next };
    },
  );

  api.get(
    '/tasks/:id',
    {
      schema: {
        tags: TAGS,
        summary: 'One task with its evidence, findings and history',
        security: SECURITY,
        params: z.object({ id: shortText }),
        response: answers({ 200: taskDetail }),
      },
    },
    async (request) => {
      const actor = actorOf(request);
      const detail = await tasks.get(request.params.id, actor.region);
      const words = new Words(rules, languageOf(request));
      return {
        ...words.task(detail),
        allowedActions: allowedActions(detail, actor).map((action) => words.action(action)),
        evidence: detail.evidence.map((item) => words.evidence(item)),
        findings: detail.findings.map((record) => words.finding(record)),
        history: detail.history.map((entry) => words.historyEntry(entry)),
      };
    },
  );

  api.post(
    '/tasks/:id/:action',
    {
      schema: {
        tags: TAGS,
        summary: 'Do something with a task, as the workflow allows',
        security: SECURITY,
        params: z.object({ id: shortText, action: z.enum(ACTIONS) }),
        body: actionBody,
        response: answers({ 200: actedTask }),
      },
    },
    async (request) => {
      const { id, action } = request.params;
      const actor = actorOf(request);
      const acted = await tasks.act(id, action, actor, inputOf(request.body), new Date(nowMs()));
      const words = new Words(rules, languageOf(request));
      return {
        ...words.task(acted),
        allowedActions: allowedActions(acted, actor).map((action) => words.action(action)),
      };
    },
  );
}

function inputOf(body: z.output<typeof actionBody>): ActionInput {
  const { measurement, replacement, ...input } = body ?? {};
  return {
    ...input,
    measurement: measurement && measurementOf(measurement),
    replacement: replacement && replacementOf(replacement),
  };
}

type Body = NonNullable<z.output<typeof actionBody>>;

function measurementOf({ measuredAt: measuredAtMs, ...measured }: NonNullable<Body['measurement']>) {
  return { ...measured, measuredAtMs };
}

function replacementOf({ replacedAt: replacedAtMs, instrument }: NonNullable<Body['replacement']>) {
  return { instrument, replacedAtMs };
}
