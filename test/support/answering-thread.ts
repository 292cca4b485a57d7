/** A thread that does what it is told. */
import { threadId, workerData } from 'node:worker_threads';
import { answerOrders } from '../../src/threads.ts';

export type Order = 'name' | 'fail' | 'hang' | 'exit' | { readonly sum: Float64Array };

answerOrders((order: Order) => {
  if (order === 'fail') throw new RangeError('too far');
  if (order === 'exit') process.exit(3);
  if (order === 'hang') for (;;);
  return order === 'name' ? `${workerData}-${threadId}` : order.sum.reduce((a, b) => a + b);
});
