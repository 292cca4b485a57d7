/** Memory that is in use once garbage is gone, of a process started with --expose-gc. */
export function usedBytes(): number {
  if (!globalThis.gc) throw new Error('needs --expose-gc');
  // Twice: what only finalizers release goes with the second.
  globalThis.gc();
  globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
