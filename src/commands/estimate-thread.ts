/** The thread itself: a window comes in, its estimate goes out. */
import { parentPort } from 'node:worker_threads';
import type { AccuracyPolicy, DistrictWindow } from '../accuracy/district.ts';
import { estimateDistrict } from '../accuracy/estimate.ts';
import type { EstimateAnswer } from './estimate-threads.ts';

parentPort!.on('message', ({ window, policy }: { window: DistrictWindow; policy: AccuracyPolicy }) => {
  let answer: EstimateAnswer;
  try {
    answer = { estimate: estimateDistrict(window, policy) };
  } catch (error) {
    answer = { problem: (error as Error).stack ?? String(error) };
  }
  parentPort!.postMessage(answer);
});
