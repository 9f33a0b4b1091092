/** What every implementation refuses, in the same words, before it looks at its data. */
import { CairnError } from '../../errors.js';
import { keyPattern, txnOperationsMax, valueBytesMax, type Compare, type Operation } from './key-value-store.js';

export function keyOf(operation: Operation): string {
  return 'put' in operation ? operation.put : operation.delete;
}

/** Throws `invalid-request` for what no store would take. */
export function checkTxn(compares: readonly Compare[], operations: readonly Operation[]): void {
  if (operations.length > txnOperationsMax)
    throw invalid(
      `A transaction has ${operations.length} operations: split it, at most ${txnOperationsMax} are taken.`,
    );
  for (const { key } of compares) checkKey(key);
  const keys = operations.map(keyOf);
  for (const key of keys) checkKey(key);
  if (new Set(keys).size < keys.length)
    throw invalid('A transaction changes one key twice: state only its last value.');
  for (const operation of operations) if ('put' in operation) checkValue(operation.put, operation.value);
}

export function checkKey(key: string): void {
  if (!keyPattern.test(key))
    throw invalid(`The key ${JSON.stringify(key.slice(0, 64))} is not of the form ${keyPattern.source}.`);
}

export function checkTtl(ttlSeconds: number): void {
  if (!Number.isInteger(ttlSeconds) || ttlSeconds < 1)
    throw invalid(`A lease of ${ttlSeconds} seconds is not possible: name a whole number of at least 1.`);
}

function checkValue(key: string, value: string): void {
  if (Buffer.byteLength(value) > valueBytesMax)
    throw invalid(`The value of ${key} is longer than ${valueBytesMax} bytes: store less in one key.`);
}

function invalid(detail: string): CairnError {
  return new CairnError('invalid-request', detail);
}
