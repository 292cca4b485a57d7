import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { workflowTable } from '../../src/tasks/workflow.ts';

it('is the table ARCHITECTURE.md shows', () => {
  const text = readFileSync(join(import.meta.dirname, '../../ARCHITECTURE.md'), 'utf8');
  const [, shown] = /<!-- workflow -->\n([\s\S]*?)\n<!-- \/workflow -->/.exec(text) ?? [];
  expect(shown?.trim()).toBe(workflowTable());
});
