import { expect, it } from 'vitest';
import { registerViolation, type RegisterOperation } from './register-history.js';

const write = (value: number, began: number, ended: number): RegisterOperation => ({
  write: true,
  value,
  began,
  ended,
});
const read = (value: number, began: number, ended: number): RegisterOperation => ({
  write: false,
  value,
  began,
  ended,
});

it.each([
  ['operations that overlap, in any order', 0, [write(1, 1, 6), write(2, 2, 5), read(2, 3, 4), read(1, 7, 8)]],
  ['zeros written again', 0, [read(0, 1, 2), write(1, 3, 4), write(0, 5, 6), read(0, 7, 8)]],
  ['an unanswered write that came', 5, [write(1, 1, Infinity), read(5, 2, 3), read(1, 4, 5), read(1, 6, 7)]],
  ['an unanswered write that never came', 5, [write(1, 1, Infinity), write(2, 2, 3), read(2, 4, 5)]],
  ['what was there before', 5, [read(5, 1, 2), write(1, 3, 6), read(5, 4, 5), read(1, 7, 8)]],
])('allows %s', (_, initial, history) => {
  expect(registerViolation(initial, history)).toBeNull();
});

it.each([
  ['a read of a replaced value', 0, [write(1, 1, 2), write(2, 3, 4), read(1, 5, 6)]],
  ['a lost write', 5, [write(1, 1, 2), read(5, 3, 4)]],
  ['a lost first write', 0, [write(1, 1, 2), read(0, 3, 4)]],
  ['a write that zeros had replaced', 0, [write(1, 1, 2), write(0, 3, 4), read(1, 5, 6)]],
  ['a read of what nobody wrote', 0, [read(9, 1, 2)]],
  ['a read of the future', 0, [read(1, 1, 2), write(1, 3, 4)]],
  ['orders that differ', 0, [write(1, 1, 10), write(2, 2, 9), read(1, 11, 12), read(2, 13, 14), read(1, 15, 16)]],
  ['an unanswered write that came and went', 5, [write(1, 1, Infinity), read(1, 2, 3), read(5, 4, 5)]],
])('finds %s', (_, initial, history) => {
  expect(registerViolation(initial, history)).not.toBeNull();
});
