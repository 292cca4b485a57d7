/**
 * numpy-ts, as far as it is used here. The types are ours: its own declarations import each other without file extensions,
 * which the module rules of Node do not resolve.
 */
import * as numpy from 'numpy-ts';

/** Row by row, in the one WebAssembly memory of a thread: it stays there until it is disposed of. */
export interface Matrix {
  readonly shape: readonly [rows: number, columns: number];
  /** A view, not to be looked at after `dispose`. */
  readonly data: Float64Array;
  dispose(): void;
}

interface Numpy {
  readonly empty: (shape: readonly [rows: number, columns: number]) => Matrix;
  readonly matmul: (a: Matrix, b: Matrix) => Matrix;
  readonly linalg: {
    /** The lower triangle; throws NOT_POSITIVE_DEFINITE. */
    readonly cholesky: (a: Matrix) => Matrix;
    /** R alone, by Householder reflections. */
    readonly qr: (a: Matrix, mode: 'r') => Matrix;
  };
  readonly wasmConfig: { useRelaxedSimd: boolean | 'auto' };
}

export const NOT_POSITIVE_DEFINITE = 'cholesky: matrix is not positive definite';

const library = numpy as unknown as Numpy;
export const { empty, matmul, linalg } = library;

// Fused multiply-add makes products a fifth faster, but a processor without it rounds otherwise: estimates are the same on all.
library.wasmConfig.useRelaxedSimd = false;
