/** What is wrong with a folder, by the code of the error: shared by all that write into one. */
import type { START_PROBLEMS } from './texts/start.ts';

export const FOLDER_PROBLEMS: Readonly<Record<string, keyof typeof START_PROBLEMS>> = {
  ENOTDIR: 'not_a_folder',
  EEXIST: 'not_a_folder',
  EACCES: 'not_writable',
  EPERM: 'not_writable',
  EROFS: 'read_only',
  ENOSPC: 'no_space',
  EDQUOT: 'no_space',
  ENOENT: 'no_folder_there',
};
