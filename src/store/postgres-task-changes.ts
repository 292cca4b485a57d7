/** Tells when a commit changed tasks. */
import { PostgresChanges } from './postgres-changes.ts';
import { TASK_CHANGES_CHANNEL } from './postgres-task-history.ts';

export class PostgresTaskChanges extends PostgresChanges {
  constructor(url: string, onChange: () => void) {
    super(url, TASK_CHANGES_CHANNEL, onChange);
  }
}
