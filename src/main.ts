/** Where the process begins: signals are heard before the modules are loaded, which takes a second. */
import { setImmediate as turn } from 'node:timers/promises';
import { hearEarlyStop } from './early-stop.ts';

hearEarlyStop(process.argv[2], process.env.METERWARDEN_LANG);
const { runCommandLine } = await import('./command-line.ts');
await turn(); // loading is too busy for signals: those that came meanwhile are heard now
await runCommandLine();
