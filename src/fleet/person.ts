/** What somebody may do: see src/inspector for who sees what, src/tasks/workflow.ts for who may do what to a task. */
export const PERSON_ROLES = ['admin', 'supervisor', 'inspector'] as const;
export type PersonRole = (typeof PERSON_ROLES)[number];

export const MIN_PASSWORD_CHARS = 8;
export const MAX_PASSWORD_CHARS = 128;
