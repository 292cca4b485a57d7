import { taskQueueConformance } from '../conformance/task-queue.ts';

taskQueueConformance('PostgreSQL', async () => ({ url: '', close: async () => {} }));
