/**
 * Write load that knows what it was promised: every write has a tag of its own, every acknowledgement is remembered with its
 * place in time, and what a volume holds can be checked against that, at its end or at the cut of a snapshot.
 */
import { NbdConnection } from './nbd-connection.js';
import { ConnectionLost, type NbdAddress } from './nbd-stream.js';
import { mulberry32 } from './random.js';
import { eventually } from './real-deadline.js';

export const tagBlockBytes = 4096;
const sectorBytes = 512;
const reconnectTimeoutMs = 10_000;

/** One write; times count events of the whole load, so that any two can be compared. */
interface TaggedWrite {
  block: number;
  /** Unique in the load, and growing. 0 is "never written". */
  tag: number;
  issued: number;
  acknowledged: number | undefined;
}

export interface LoadOptions {
  address: NbdAddress;
  volume: string;
  /** The load uses this many 4 KiB blocks of the volume. */
  blocks: number;
  /** From this one on; default: the first. */
  firstBlock?: number;
  depth: number;
  seed: number;
}

export class TaggedLoad {
  private readonly writes: TaggedWrite[] = [];
  /** The last writes to each block, oldest first. */
  private readonly history = new Map<number, TaggedWrite[]>();
  private readonly busy = new Set<number>();
  private readonly workers: Promise<void>[] = [];
  private connection: Promise<NbdConnection> | undefined;
  private clock = 0;
  private random: () => number;
  private stopping = false;
  private lastAcknowledgementMs = performance.now();

  acknowledgedCount = 0;
  /** How often the connection was lost. */
  disconnections = 0;
  /** The longest time without any acknowledgement. */
  longestGapMs = 0;

  constructor(private readonly options: LoadOptions) {
    this.random = mulberry32(options.seed);
  }

  /** The place in time of this moment. */
  get now(): number {
    return this.clock;
  }

  start(): void {
    this.stopping = false;
    this.lastAcknowledgementMs = performance.now();
    for (let index = 0; index < this.options.depth; index += 1) {
      const worker = this.work();
      worker.catch(() => {}); // `progress` and `stop` report it
      this.workers.push(worker);
    }
  }

  /** Resolves when nothing is in flight; rejects with what broke the load. */
  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.workers.splice(0));
    const connection = await this.connection?.catch(() => undefined);
    this.connection = undefined;
    await connection?.disconnect();
  }

  /** Resolves once so many more writes were acknowledged. */
  async progress(count: number): Promise<void> {
    const goal = this.acknowledgedCount + count;
    await Promise.race([
      eventually(`${count} more writes are acknowledged`, () => this.acknowledgedCount >= goal, 30_000),
      ...this.workers.map((worker) => worker.then(() => new Promise<void>(() => {}))),
    ]);
  }

  /** The tags that the volume holds, by block. Throws when a block is not whole writes of this load. */
  async readTags(): Promise<Tags> {
    const { address, volume, blocks } = this.options;
    const connection = await NbdConnection.open(address, volume);
    const tags: number[][] = [];
    for (let block = 0; block < blocks; block += 1) {
      tags.push(tagsOf(await connection.read(this.offsetOf(block), tagBlockBytes), block));
    }
    await connection.disconnect();
    return tags;
  }

  /** What is wrong with this content now that nothing is in flight: acknowledged writes that are not there. */
  lostWrites(tags: Tags): string[] {
    return this.faultsOfCut(tags, this.clock, this.clock);
  }

  /**
   * What is wrong with this content as a cut made between two places in time. It must hold every write acknowledged before
   * `from`, none issued after `to`, and whatever had been acknowledged before any write that it holds was issued.
   */
  faultsOfCut(tags: Tags, from: number, to: number): string[] {
    const newest = Math.max(from, ...tags.flatMap((found, block) => found.map((tag) => this.issueTime(block, tag))));
    return tags.flatMap((found, block) => {
      const least = this.newestAcknowledgedBefore(block, newest);
      return found.flatMap((tag) => [
        ...(tag < least ? [`block ${block} has write ${tag}, but write ${least} was acknowledged`] : []),
        ...(this.issueTime(block, tag) > to ? [`block ${block} has write ${tag}, which is newer than the cut`] : []),
      ]);
    });
  }

  private async work(): Promise<void> {
    while (!this.stopping) {
      const write = this.nextWrite();
      const connection = (this.connection ??= this.connect());
      try {
        await (await connection).write(this.offsetOf(write.block), taggedBlock(write));
        this.acknowledge(write);
      } catch (error) {
        if (!(error instanceof ConnectionLost)) throw error;
        this.replace(connection);
      } finally {
        this.busy.delete(write.block);
      }
    }
  }

  /** To a block that no other write is under way to: their order would be anybody's guess. */
  private nextWrite(): TaggedWrite {
    let block = Math.floor(this.random() * this.options.blocks);
    while (this.busy.has(block)) block = (block + 1) % this.options.blocks;
    this.busy.add(block);
    const write = { block, tag: this.writes.length + 1, issued: this.tick(), acknowledged: undefined };
    this.writes.push(write);
    const earlier = this.history.get(block);
    if (earlier) earlier.push(write);
    else this.history.set(block, [write]);
    return write;
  }

  private acknowledge(write: TaggedWrite): void {
    write.acknowledged = this.tick();
    this.acknowledgedCount += 1;
    const now = performance.now();
    this.longestGapMs = Math.max(this.longestGapMs, now - this.lastAcknowledgementMs);
    this.lastAcknowledgementMs = now;
  }

  private tick(): number {
    this.clock += 1;
    return this.clock;
  }

  /** All workers share one connection; the first that finds it lost has it replaced, as `nbd-client -persist` would. */
  private replace(lost: Promise<NbdConnection>): void {
    if (this.connection !== lost) return;
    this.disconnections += 1;
    this.connection = undefined;
  }

  private async connect(): Promise<NbdConnection> {
    let connection: NbdConnection | undefined;
    const { address, volume } = this.options;
    await eventually(
      'the volume is served',
      async () => {
        connection = await NbdConnection.open(address, volume).catch(() => undefined);
        return connection !== undefined;
      },
      reconnectTimeoutMs,
    );
    return connection as unknown as NbdConnection;
  }

  private offsetOf(block: number): number {
    return ((this.options.firstBlock ?? 0) + block) * tagBlockBytes;
  }

  private issueTime(block: number, tag: number): number {
    if (tag === 0) return 0;
    const write = this.history.get(block)?.find((candidate) => candidate.tag === tag);
    if (write === undefined) throw new Error(`Block ${block} holds tag ${tag}, which this load never wrote there.`);
    return write.issued;
  }

  private newestAcknowledgedBefore(block: number, time: number): number {
    const earlier = (this.history.get(block) ?? []).filter(({ acknowledged }) => (acknowledged ?? Infinity) <= time);
    return earlier.at(-1)?.tag ?? 0;
  }
}

/** For each block the tags of its sectors, each once: one, unless a write was torn in the middle. */
export type Tags = readonly (readonly number[])[];

function taggedBlock({ block, tag }: TaggedWrite): Buffer {
  const data = Buffer.alloc(tagBlockBytes, tag % 251);
  for (let sector = 0; sector < tagBlockBytes; sector += sectorBytes) {
    data.writeDoubleBE(block, sector);
    data.writeDoubleBE(tag, sector + 8);
  }
  return data;
}

function tagsOf(data: Buffer, block: number): number[] {
  const tags = new Set<number>();
  for (let sector = 0; sector < tagBlockBytes; sector += sectorBytes) {
    const tag = data.readDoubleBE(sector + 8);
    const isOfBlock = tag === 0 ? data.readDoubleBE(sector) === 0 : data.readDoubleBE(sector) === block;
    const filler = data.subarray(sector + 16, sector + sectorBytes);
    if (!isOfBlock || !filler.every((byte) => byte === tag % 251)) throw new Error(`Block ${block} is damaged.`);
    tags.add(tag);
  }
  return [...tags];
}
