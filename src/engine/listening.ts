/** Listening addresses: what every frontend does with them. */
import { setTimeout as delay } from 'node:timers/promises';
import { hasCode } from '../errors.js';
import type { Listener } from '../generated/cairn/dataplane/v1/data_plane_pb.js';
import type { DataPlaneCalls } from './supervised-process.js';

export interface TcpAddress {
  host: string;
  /** 0 picks a free one, which is then kept. */
  port: number;
}
type Frontend = 'nbdTcp' | 'iscsiTcp';

/** How long a dead process's address may stay in use before that counts as somebody else's. */
const addressRetryLimits = { timeoutMs: 5_000, pollMs: 50 } as const;

/** Repeats what fails because the address is still in use. */
export async function patiently<Result>(listen: () => Promise<Result>): Promise<Result> {
  const deadline = performance.now() + addressRetryLimits.timeoutMs;
  for (;;) {
    try {
      return await listen();
    } catch (error) {
      if (!hasCode(error, 'address-in-use') || performance.now() > deadline) throw error;
      await delay(addressRetryLimits.pollMs);
    }
  }
}

/** What a client on this host connects to when the listener takes every address; an IPv6 address in brackets. */
export function connectable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}

/**
 * Listens there and, for this frontend, nowhere else: an address that is no longer configured is given up, its connections stay.
 * Port 0 is the one at this host that is listened at already. Resolves to the port.
 */
export async function listenTcp(
  calls: DataPlaneCalls,
  frontend: Frontend,
  { host, port: asked }: TcpAddress,
  listeners: readonly Listener[],
): Promise<number> {
  const existing = listeners.filter(({ address }) => address.case === frontend);
  const port = asked === 0 ? portOf(existing, host) : asked;
  const wanted = { address: { case: frontend, value: { host, port } } } as const;
  const inTheWay = existing.filter((each) => keyOf(each) !== `${host} ${port}` && addressOf(each)?.port === port);
  for (const each of inTheWay) await giveUp(calls, each);
  try {
    const { listener } = await patiently(() => calls.listen({ listener: wanted }));
    for (const each of existing) if (listener && keyOf(each) !== keyOf(listener)) await giveUp(calls, each);
    return (listener && portOf([listener], host)) || port;
  } catch (error) {
    // Clients go on finding their volumes where they did.
    for (const { address } of inTheWay) await calls.listen({ listener: { address } }).catch(() => {});
    throw error;
  }
}

function addressOf({ address }: Listener): TcpAddress | undefined {
  return address.case === 'nbdTcp' || address.case === 'iscsiTcp' ? address.value : undefined;
}

function keyOf(listener: Listener): string {
  const { host = '', port = 0 } = addressOf(listener) ?? {};
  return `${host} ${port}`;
}

/** A process of an earlier version cannot: it goes on listening there, which changes nothing for its clients. */
async function giveUp(calls: DataPlaneCalls, { address }: Listener): Promise<void> {
  await calls.unlisten({ listener: { address } }).catch(() => {});
}

/** 0 when none of them is at this host. */
function portOf(listeners: readonly Listener[], host: string): number {
  return listeners.map(addressOf).find((address) => address?.host === host)?.port ?? 0;
}
