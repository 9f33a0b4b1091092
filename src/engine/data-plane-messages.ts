/** The data plane's messages against the plain types of src/engine/native.ts, which use numbers and `null`. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  CacheMode as WireCacheMode,
  Tls_Mode,
  type Access as WireAccess,
  type AccessSchema,
  type Export,
  type ExportSchema,
  type Limits as WireLimits,
  type LimitsSchema,
  type Target,
  type TargetSchema,
  type Tls,
  type TlsSchema,
  type Volume,
  type VolumeSchema,
} from '../generated/cairn/dataplane/v1/data_plane_pb.js';
import { CairnError } from '../errors.js';
import {
  scrubStates,
  type Access,
  type CacheMode,
  type LayerInfo,
  type Limits,
  type NewExport,
  type NewTarget,
  type ScrubInfo,
  type TlsMode,
  type TlsSettings,
  type VolumeCounters,
  type VolumeInfo,
} from './native.js';

const wireCacheModes: Readonly<Record<CacheMode, WireCacheMode>> = {
  none: WireCacheMode.NONE,
  writeback: WireCacheMode.WRITEBACK,
  writethrough: WireCacheMode.WRITETHROUGH,
};

export function toWireCacheMode(mode: CacheMode): WireCacheMode {
  return wireCacheModes[mode];
}

export function fromWireCacheMode(wire: WireCacheMode): CacheMode {
  for (const mode of Object.keys(wireCacheModes) as CacheMode[]) {
    if (wireCacheModes[mode] === wire) return mode;
  }
  throw new CairnError('invalid-request', `cache_mode ${wire} is not a cache mode.`, { field: 'cache_mode' });
}

export function toWireLimits(limits: Limits): MessageInitShape<typeof LimitsSchema> {
  return mapValues({ ...limits }, (limit) => BigInt(limit ?? 0));
}

export function fromWireLimits(wire: WireLimits | undefined): Limits {
  const { iops = 0n, iopsBurst = 0n, bandwidth = 0n, bandwidthBurst = 0n, burstSeconds = 0n } = wire ?? {};
  const orNone = (limit: bigint) => (limit === 0n ? null : Number(limit));
  return mapValues({ iops, iopsBurst, bandwidth, bandwidthBurst, burstSeconds }, orNone);
}

export function toWireVolume(info: VolumeInfo): MessageInitShape<typeof VolumeSchema> {
  return {
    name: info.name,
    directory: info.directory,
    volumeId: info.volumeId,
    sizeBytes: BigInt(info.sizeBytes),
    blockSize: info.blockSize,
    cacheMode: toWireCacheMode(info.cacheMode),
    layers: info.layers.map(toWireLayer),
    counters: mapValues(info.counters, BigInt),
    limits: toWireLimits(info.limits),
    clients: info.clients,
    failure: info.failure ?? '',
    ...(info.flatten && { flatten: info.flatten }),
    ...(info.reencryption && { reencryption: info.reencryption }),
    scrub: toWireScrub(info.scrub),
    unlocked: info.unlocked,
  };
}

/** The message as the data plane holds it, except whether the open recovered it: that was an event. */
export function fromWireVolume(volume: Volume): Omit<VolumeInfo, 'recovered'> {
  return {
    name: volume.name,
    directory: volume.directory,
    volumeId: volume.volumeId,
    sizeBytes: Number(volume.sizeBytes),
    blockSize: volume.blockSize,
    cacheMode: fromWireCacheMode(volume.cacheMode),
    layers: volume.layers.map(fromWireLayer),
    counters: fromWireCounters(volume.counters),
    limits: fromWireLimits(volume.limits),
    clients: volume.clients,
    failure: orNull(volume.failure),
    flatten: fromWireWork(volume.flatten),
    reencryption: fromWireWork(volume.reencryption),
    scrub: fromWireScrub(volume.scrub),
    unlocked: volume.unlocked,
  };
}

function fromWireWork(work: { progress: number; problem: string } | undefined) {
  return work ? { progress: work.progress, problem: work.problem } : null;
}

export function toWireExport(exported: NewExport): MessageInitShape<typeof ExportSchema> {
  const { name, description, readOnly, decrypted, volume, handover } = exported;
  if (handover === null) return { name, description, readOnly, decrypted, volume: volume ?? '' };
  return { name, description, readOnly, handoverPath: handover.path };
}

/** Checks that the export names exactly one holder: a volume of the process, or another process. */
export function fromWireExport(wire: Export): NewExport {
  const { name, description, readOnly, decrypted } = wire;
  if ((wire.volume === '') === (wire.handoverPath === '')) {
    throw new CairnError('invalid-request', `Export ${name} needs either volume or handover_path.`, {
      field: 'export.volume',
    });
  }
  if (wire.volume !== '') return { name, description, readOnly, decrypted, volume: wire.volume, handover: null };
  return { name, description, readOnly, decrypted, volume: null, handover: { path: wire.handoverPath } };
}

export function toWireTarget(target: NewTarget): MessageInitShape<typeof TargetSchema> {
  const { name, alias, readOnly, decrypted, volume, volumeId, handover } = target;
  if (handover === null) return { name, alias, readOnly, decrypted, volumeId, volume: volume ?? '' };
  return { name, alias, readOnly, handoverPath: handover.path };
}

/** Checks that the target names exactly one holder, as {@link fromWireExport}. */
export function fromWireTarget(wire: Target): NewTarget {
  const { name, alias, readOnly, decrypted, volumeId } = wire;
  if ((wire.volume === '') === (wire.handoverPath === '')) {
    throw new CairnError('invalid-request', `Target ${name} needs either volume or handover_path.`, {
      field: 'target.volume',
    });
  }
  const target = { name, alias, readOnly, decrypted, volumeId };
  if (wire.volume !== '') return { ...target, volume: wire.volume, handover: null };
  return { ...target, volume: null, handover: { path: wire.handoverPath } };
}

export function toWireAccess({ initiators, chap, mutual }: Access): MessageInitShape<typeof AccessSchema> {
  return { initiators, chap, ...(mutual && { mutual }) };
}

export function fromWireAccess({ initiators, chap, mutual }: WireAccess): Access {
  const credential = ({ user, secret }: { user: string; secret: Uint8Array }) => ({ user, secret });
  return { initiators, chap: chap.map(credential), mutual: mutual ? credential(mutual) : null };
}

/** The secrets in it, to be zeroed. */
export function secretsOf({ chap, mutual }: Access): Uint8Array[] {
  return [...chap, ...(mutual ? [mutual] : [])].map(({ secret }) => secret);
}

function toWireLayer(layer: LayerInfo) {
  return {
    ...layer,
    name: layer.name ?? '',
    parent: layer.parent ?? '',
    allocatedBytes: BigInt(layer.allocatedBytes),
    createdMs: BigInt(layer.createdMs),
  };
}

function fromWireLayer(layer: Volume['layers'][number]): LayerInfo {
  const { id, removed, inChain, mergeProgress, shared, checksummed } = layer;
  return {
    id,
    name: orNull(layer.name),
    parent: orNull(layer.parent),
    removed,
    inChain,
    shared,
    checksummed,
    allocatedBytes: Number(layer.allocatedBytes),
    createdMs: Number(layer.createdMs),
    mergeProgress,
  };
}

function toWireScrub(scrub: ScrubInfo) {
  const { blocksChecked, blocksDamaged, blocksUnverified, repaired, ...rest } = scrub;
  return { ...rest, ...mapValues({ blocksChecked, blocksDamaged, blocksUnverified, repaired }, BigInt) };
}

function fromWireScrub(wire: Volume['scrub']): ScrubInfo {
  const { state = 'never', progress = 0, findings = [] } = wire ?? {};
  const { blocksChecked = 0n, blocksDamaged = 0n, blocksUnverified = 0n, repaired = 0n } = wire ?? {};
  const counts = mapValues({ blocksChecked, blocksDamaged, blocksUnverified, repaired }, Number);
  return { state: scrubStates.find((each) => each === state) ?? 'never', progress, ...counts, findings: [...findings] };
}

const wireTlsModes: Readonly<Record<TlsMode, Tls_Mode>> = {
  off: Tls_Mode.OFF,
  on: Tls_Mode.ON,
  require: Tls_Mode.REQUIRE,
};

export function toWireTls(settings: TlsSettings): MessageInitShape<typeof TlsSchema> {
  const { mode, certificateDirectory, verifyPeer, pskFile } = settings;
  return {
    mode: wireTlsModes[mode],
    certificateDirectory: certificateDirectory ?? '',
    verifyPeer,
    pskFile: pskFile ?? '',
  };
}

export function fromWireTls({ mode, certificateDirectory, verifyPeer, pskFile }: Tls): TlsSettings {
  const known = (Object.keys(wireTlsModes) as TlsMode[]).find((each) => wireTlsModes[each] === mode);
  if (!known) throw new CairnError('invalid-request', `tls.mode ${mode} is no mode of TLS.`, { field: 'tls.mode' });
  return { mode: known, certificateDirectory: orNull(certificateDirectory), verifyPeer, pskFile: orNull(pskFile) };
}

function orNull(text: string): string | null {
  return text === '' ? null : text;
}

function fromWireCounters(counters: Volume['counters']): VolumeCounters {
  const { $typeName: _name, $unknown: _unknown, ...wire } = { ...none, ...counters };
  return mapValues(wire, Number);
}

const none: Record<keyof VolumeCounters, bigint> & { $typeName?: string; $unknown?: unknown } = {
  reads: 0n,
  readBytes: 0n,
  writes: 0n,
  writtenBytes: 0n,
  flushes: 0n,
  trims: 0n,
  trimmedBytes: 0n,
  writeZeroes: 0n,
  errors: 0n,
  throttled: 0n,
  throttledMs: 0n,
};

function mapValues<Key extends string, From, To>(
  record: Readonly<Record<Key, From>>,
  convert: (value: From) => To,
): Record<Key, To> {
  const entries = Object.entries(record) as [Key, From][];
  return Object.fromEntries(entries.map(([key, value]) => [key, convert(value)])) as Record<Key, To>;
}
