/** One line on the terminal that shows how far a command is; nothing where there is no terminal. */

/** How often a person sees that it goes on. */
const SHOW_MS = 200;
const BAR_CELLS = 30;

export class ProgressLine {
  #shownMs = Number.NEGATIVE_INFINITY;

  show(text: () => string): void {
    const { stderr } = process;
    if (!stderr.isTTY || performance.now() - this.#shownMs < SHOW_MS) return;
    this.#shownMs = performance.now();
    stderr.write(`\r\x1b[K${text()}`);
  }

  clear(): void {
    this.#shownMs = Number.NEGATIVE_INFINITY;
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  }
}

export function bar(share: number): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * BAR_CELLS);
  return '█'.repeat(full) + '░'.repeat(BAR_CELLS - full);
}
