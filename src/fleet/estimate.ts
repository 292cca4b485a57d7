/** What an estimate of a district can find; config/rules.yaml says what becomes of each. */
export const ESTIMATE_FINDINGS = [
  'inaccurate',
  'crossing-mpe',
  'wrong-district',
  'wrong-phase',
  'unmetered-energy',
  'master-off',
  'stuck-register',
  'register-reset',
] as const;
export type EstimateFinding = (typeof ESTIMATE_FINDINGS)[number];
