/** What the rules know of a district: its clock, its outage, and silences not judged yet. */

/** A time without readings of one instrument, longer than it may be, or counted as missing while it lasted. */
export interface Gap {
  readonly key: number;
  /** Last reading before it; for an instrument never heard, one period before its first was expected. */
  readonly lastMs: number;
  /** First reading after it; Infinity = it goes on. */
  readonly nextMs: number;
  readonly neverHeard: boolean;
  /** Counted as missing in its district. */
  missing: boolean;
  /** Has become a finding of its own. */
  found: boolean;
}

export class District {
  readonly id: string;
  /** Newest measurement time among its instruments; NaN = nothing heard. */
  clockMs = Number.NaN;
  outageFromMs = Number.NaN;
  /** End of its last outage. */
  backMs = Number.NaN;
  /** Silences that have ended and are not judged yet. */
  gaps: Gap[] = [];

  /** Changed since it was last kept. */
  changed = false;

  // From here on not kept: true again within a minute of a start.
  members = new Int32Array(0);
  membersStale = true;
  /** One has gone since it was last judged: nobody may be left who could end its outage by coming back. */
  memberLeft = false;
  /** The shortest report period among its members: who reports less often is not asked whether the district is silent. */
  periodMs = Number.POSITIVE_INFINITY;
  /** Clock as it was one and up to two settling times ago. */
  heldMs = Number.NaN;
  settledMs = Number.NaN;
  turnedAtMs = Number.NEGATIVE_INFINITY;
  /** Counts settling times, modulo 65536; 0 in an instrument = not heard since the start. */
  turn = 2;
  /** Wall clock of its last reading, and of the last first reading of an instrument. */
  receivedAtMs = Number.NEGATIVE_INFINITY;
  joinedAtMs = Number.NEGATIVE_INFINITY;
  /** No member's silence can matter before the clock has passed this. */
  dueMs = Number.NEGATIVE_INFINITY;

  constructor(id: string) {
    this.id = id;
  }

  /** Lets the clock settle: what was newest a settling time ago, every gateway has had time to send. */
  turnClock(nowMs: number, settleMs: number): void {
    if (nowMs - this.turnedAtMs < settleMs) return;
    this.settledMs = this.heldMs;
    this.heldMs = this.clockMs;
    this.turnedAtMs = nowMs;
    this.turn = this.turn === 65_535 ? 2 : this.turn + 1;
  }
}

interface Kept {
  clock: number | null;
  outageFrom: number | null;
  back: number | null;
  gaps: Gap[];
}

export function encodeDistrict(district: District): Kept {
  const { clockMs, outageFromMs, backMs, gaps } = district;
  const kept = (ms: number) => (Number.isNaN(ms) ? null : ms);
  return { clock: kept(clockMs), outageFrom: kept(outageFromMs), back: kept(backMs), gaps };
}

export function decodeDistrict(id: string, kept: Kept): District {
  const district = new District(id);
  district.clockMs = kept.clock ?? Number.NaN;
  district.outageFromMs = kept.outageFrom ?? Number.NaN;
  district.backMs = kept.back ?? Number.NaN;
  district.gaps = kept.gaps;
  return district;
}
