import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/postgres-server.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Scenarios wait more than they compute; by default a machine with two cores would run one file at a time.
    maxWorkers: 2,
  },
});
