/** Who gets a raised task. */

/** An inspector whose region covers the task and who has not declined it. */
export interface Candidate {
  readonly username: string;
  /** Tasks assigned to or accepted by them. */
  readonly openTasks: number;
}

/** The one with the fewest open tasks; equals in order of name, so that the choice can be recomputed. */
export function chooseInspector(candidates: readonly Candidate[]): string | undefined {
  let chosen: Candidate | undefined;
  for (const candidate of candidates) {
    const fewer = chosen === undefined || candidate.openTasks < chosen.openTasks;
    const earlier = candidate.openTasks === chosen?.openTasks && candidate.username < chosen.username;
    if (fewer || earlier) chosen = candidate;
  }
  return chosen?.username;
}
