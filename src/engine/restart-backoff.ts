/** How long to wait before a process is started again: the first time not at all, then longer each time up to a cap. */
export const restartBackoffLimits = { firstDelayMs: 100, delayMsMax: 10_000, healthyAfterMs: 60_000 } as const;

export class RestartBackoff {
  private starts = 0;

  /** The delay before the next start; a process that ran for a healthy minute counts as new. */
  delayAfter(uptimeMs: number): number {
    const { firstDelayMs, delayMsMax, healthyAfterMs } = restartBackoffLimits;
    if (uptimeMs >= healthyAfterMs) this.starts = 0;
    this.starts += 1;
    return this.starts === 1 ? 0 : Math.min(delayMsMax, firstDelayMs * 2 ** (this.starts - 2));
  }
}
