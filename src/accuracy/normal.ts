/** The normal distribution. */

/** P(X ≤ x) for a standard normal X; relative error below 1e-12 in the tails that decide anything. */
export function normalBelow(x: number): number {
  const z = Math.abs(x);
  if (z > 38) return x > 0 ? 1 : 0;
  const tail = z < 5 ? 0.5 - centre(z) : density(z) * tailFraction(z);
  return x > 0 ? 1 - tail : tail;
}

export function density(x: number): number {
  return Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI);
}

/** φ(z) · Σ z^(2k+1)/(1·3·5…(2k+1)) = P(0 < X ≤ z). */
function centre(z: number): number {
  let term = z;
  let sum = z;
  for (let k = 3; term > sum * 1e-17; k += 2) {
    term *= (z * z) / k;
    sum += term;
  }
  return sum * density(z);
}

/** Mills' ratio by its continued fraction. */
function tailFraction(z: number): number {
  let value = z;
  for (let k = 60; k >= 1; k--) value = z + k / value;
  return 1 / value;
}

/** A mixture of normals: weights that sum to one, means, variances. */
export interface Mixture {
  readonly weights: readonly number[];
  readonly means: readonly number[];
  readonly variances: readonly number[];
}

export function mixtureBelow({ weights, means, variances }: Mixture, x: number): number {
  let sum = 0;
  for (let k = 0; k < weights.length; k++) {
    sum += weights[k]! * normalBelow((x - means[k]!) / Math.sqrt(variances[k]!));
  }
  return sum;
}

export function mixtureMean({ weights, means }: Mixture): number {
  return weights.reduce((sum, weight, k) => sum + weight * means[k]!, 0);
}

export function mixtureSd(mixture: Mixture): number {
  const mean = mixtureMean(mixture);
  const { weights, means, variances } = mixture;
  const square = weights.reduce((sum, weight, k) => sum + weight * (variances[k]! + means[k]! ** 2), 0);
  return Math.sqrt(Math.max(square - mean * mean, 0));
}

/** x with P(X ≤ x) = p. */
export function mixtureQuantile(mixture: Mixture, p: number): number {
  const mean = mixtureMean(mixture);
  const sd = mixtureSd(mixture) || 1;
  let low = mean - 10 * sd;
  let high = mean + 10 * sd;
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2;
    if (mixtureBelow(mixture, middle) < p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
