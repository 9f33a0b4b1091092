/** What a volume may use, in words for people. */
import { formatSize } from './size.js';

export interface LimitValues {
  iops: number | null;
  iopsBurst: number | null;
  bandwidth: number | null;
  bandwidthBurst: number | null;
  burstSeconds: number | null;
}

/** `500 IOPS (2000 for 60 s), 100MiB/s`, or null when nothing is limited. */
export function limitsText(limits: LimitValues): string | null {
  const { iops, iopsBurst, bandwidth, bandwidthBurst, burstSeconds } = limits;
  const burst = (text: string | null) => (text === null ? '' : ` (${text} for ${burstSeconds} s)`);
  const parts = [
    ...(iops === null ? [] : [`${iops} IOPS${burst(iopsBurst === null ? null : String(iopsBurst))}`]),
    ...(bandwidth === null
      ? []
      : [`${rate(bandwidth)}${burst(bandwidthBurst === null ? null : rate(bandwidthBurst))}`]),
  ];
  return parts.length === 0 ? null : parts.join(', ');
}

function rate(bytes: number): string {
  return `${formatSize(bytes)}/s`;
}
