/** Estimates of windows that are in memory, on as many threads as there are cores. */
import type { AccuracyPolicy, DistrictEstimate, DistrictWindow, MeterSeries } from '../accuracy/district.ts';
import { openThreads } from '../threads.ts';

export interface WindowOrder {
  readonly window: DistrictWindow;
  readonly policy: AccuracyPolicy;
}

export interface EstimateThreads {
  /** The window's arrays go to the thread and are empty afterwards. */
  estimate(window: DistrictWindow, policy: AccuracyPolicy): Promise<DistrictEstimate>;
  stop(): Promise<void>;
}

export function openEstimateThreads(count: number): EstimateThreads {
  const file = new URL('./estimate-thread.ts', import.meta.url);
  const threads = openThreads<WindowOrder, DistrictEstimate>({ file, count });
  return {
    estimate: async (window, policy) => threads.run({ window, policy }, buffersOf(window)),
    stop: threads.stop,
  };
}

function buffersOf({ master, users }: DistrictWindow): ArrayBuffer[] {
  const ofMeter = ({ importKwh, exportKwh, voltagesV }: MeterSeries) => [
    importKwh,
    ...(exportKwh ? [exportKwh] : []),
    ...voltagesV,
  ];
  const arrays = [...(master ? ofMeter(master) : []), ...users.flatMap(ofMeter)];
  return [...new Set(arrays.map(({ buffer }) => buffer as ArrayBuffer))];
}
