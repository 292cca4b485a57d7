/** The thread itself: a window comes in, its estimate goes out. */
import { estimateDistrict } from '../accuracy/estimate.ts';
import { answerOrders } from '../threads.ts';
import type { WindowOrder } from './estimate-threads.ts';

answerOrders(({ window, policy }: WindowOrder) => estimateDistrict(window, policy));
