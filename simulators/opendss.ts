/** Reads the few OpenDSS statements that describe lines, wires and loads. */

export interface Statement {
  /** Lower case, such as `line`. */
  readonly kind: string;
  readonly name: string;
  /** In the order written, names in lower case; a conductor's values follow its `cond`. */
  readonly values: readonly (readonly [name: string, value: string])[];
}

/** `New Kind.name key=value …`, continued by lines that begin with `~`; `!` begins a comment. */
export function parseOpenDss(text: string): Statement[] {
  const statements: { kind: string; name: string; values: [string, string][] }[] = [];
  for (const line of text.split('\n')) {
    const code = line.replace(/!.*/, '').trim();
    const head = /^new\s+(\w+)\.(\S+)/i.exec(code);
    if (head) statements.push({ kind: head[1]!.toLowerCase(), name: head[2]!, values: [] });
    else if (!code.startsWith('~')) continue;
    for (const [, name, value] of code.matchAll(/([%\w]+)=(\[[^\]]*\]|\S+)/g)) {
      statements.at(-1)!.values.push([name!.toLowerCase(), value!]);
    }
  }
  return statements;
}

export function property(statement: Statement, name: string): string {
  const found = statement.values.find(([key]) => key === name);
  if (!found) throw new Error(`${statement.kind} ${statement.name} has no ${name}`);
  return found[1];
}

/** `6623.1.2.3.4` is bus 6623 with these conductors; none named = all three phases. */
export function busOf(value: string): { bus: string; conductors: readonly number[] } {
  const [bus, ...conductors] = value.split('.');
  return { bus: bus!, conductors: conductors.length > 0 ? conductors.map(Number) : [1, 2, 3] };
}
