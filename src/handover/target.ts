/** A folder of this machine, or s3://bucket/prefix; undefined = neither. */
export function placeOf(to: string): 'folder' | 's3' | undefined {
  if (!to.includes('://')) return to.trim() === '' ? undefined : 'folder';
  return /^s3:\/\/[^/\s]/.test(to) && URL.canParse(to) ? 's3' : undefined;
}

/** Where files are handed over to. A path is relative, its parts are separated by slashes. */
export interface Target {
  /** A folder of this machine in which to make files before they are put; empty at first. */
  readonly workDir: string;
  /** undefined = there is none. */
  read(path: string): Promise<string | undefined>;
  /** As a whole or not at all, in place of what was there. */
  write(path: string, text: string): Promise<void>;
  /** The same for a file of `workDir`, which is gone then. */
  put(path: string, file: string): Promise<void>;
  /** Is there one of this length? */
  has(path: string, bytes: number): Promise<boolean>;
  /** Also when there is none. */
  remove(path: string): Promise<void>;
  close(): Promise<void>;
}
