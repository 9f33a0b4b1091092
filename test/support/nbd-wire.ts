/** The numbers of the NBD protocol that the tests' own client needs (NetworkBlockDevice/nbd, doc/proto.md). */

export const magic = {
  server: 0x4e42444d41474943n, // "NBDMAGIC"
  option: 0x49484156454f5054n, // "IHAVEOPT"
  optionReply: 0x0003e889045565a9n,
  request: 0x25609513,
  simpleReply: 0x67446698,
  structuredReply: 0x668e33ef,
} as const;

/** Both handshake flags: fixed newstyle, no zeroes. */
export const clientFlags = 3;

export const option = { exportName: 1, abort: 2, list: 3, info: 6, go: 7, structuredReply: 8 } as const;

export const optionReply = { ack: 1, server: 2, info: 3 } as const;
const optionErrorBit = 0x80000000;
export const optionError = {
  unsupported: optionErrorBit + 1,
  policy: optionErrorBit + 2,
  invalid: optionErrorBit + 3,
  unknown: optionErrorBit + 6,
  tooBig: optionErrorBit + 9,
} as const;

export const info = { exportInfo: 0, blockSize: 3 } as const;

export const command = { read: 0, write: 1, disconnect: 2, flush: 3, trim: 4, writeZeroes: 6 } as const;
export type Command = (typeof command)[keyof typeof command];

export const commandFlag = { fua: 1, noHole: 2, fastZero: 16 } as const;

export const errno = {
  perm: 1,
  io: 5,
  noMemory: 12,
  invalid: 22,
  noSpace: 28,
  overflow: 75,
  notSupported: 95,
  shutdown: 108,
} as const;

/** A request header; the payload of a write follows it. */
export function requestHeader(
  type: number,
  cookie: bigint,
  offset: bigint,
  length: number,
  flags = 0,
  requestMagic: number = magic.request,
): Buffer {
  const header = Buffer.alloc(28);
  header.writeUInt32BE(requestMagic, 0);
  header.writeUInt16BE(flags, 4);
  header.writeUInt16BE(type, 6);
  header.writeBigUInt64BE(cookie, 8);
  header.writeBigUInt64BE(offset, 16);
  header.writeUInt32BE(length, 24);
  return header;
}

/** An option with its data; `length` may lie about it. */
export function optionRequest(number: number, data: Buffer = Buffer.alloc(0), length = data.length): Buffer {
  const header = Buffer.alloc(16);
  header.writeBigUInt64BE(magic.option, 0);
  header.writeUInt32BE(number, 8);
  header.writeUInt32BE(length, 12);
  return Buffer.concat([header, data]);
}

/** The data of INFO and GO: a name, and the information asked for. */
export function nameAndInfos(name: string, infos: readonly number[] = [info.blockSize]): Buffer {
  const bytes = Buffer.from(name);
  const data = Buffer.alloc(4 + bytes.length + 2 + 2 * infos.length);
  data.writeUInt32BE(bytes.length, 0);
  bytes.copy(data, 4);
  data.writeUInt16BE(infos.length, 4 + bytes.length);
  infos.forEach((number, index) => data.writeUInt16BE(number, 6 + bytes.length + 2 * index));
  return data;
}
