/** Regions are GB/T 2260 codes: two digits per level, a level left open is `00`. */

const CODE = /^(?!(00)+$)(\d\d){0,6}$/;

/** Empty = none. A code of zeros alone would cover everything. */
export function isRegion(text: string): boolean {
  return CODE.test(text);
}

/** What a person of `region` may see: a code ending in 00 covers what lies in it, the empty one everything, any other itself. */
export function regionCovers(regionOfPerson: string, region: string): boolean {
  const { prefix, exact } = regionExtent(regionOfPerson);
  return exact ? region === prefix : region.startsWith(prefix);
}

/** The codes a region covers: all that start with `prefix`, or only that one. */
export function regionExtent(region: string): { readonly prefix: string; readonly exact: boolean } {
  const prefix = region.replace(/(?:00)+$/, '');
  return { prefix, exact: region !== '' && prefix === region };
}
