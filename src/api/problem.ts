/** Errors as RFC 9457 problem details, and back. */
import { CairnError, catalogue, isErrorCode } from '../errors.js';
import type { Problem } from './schemas.js';

export const problemType = 'application/problem+json';

export function problemOf(error: CairnError): Problem {
  const { code, title, httpStatus: status, detail, errors } = error;
  return {
    type: `urn:cairn:problem:${code}`,
    title,
    status,
    detail,
    code,
    ...(errors && { errors: [...errors] }),
  };
}

/** What a server answered with, as the error it stands for. A peer that knows more codes than we do is believed by its status. */
export function fromProblem(status: number, body: unknown): CairnError {
  const { code, detail, errors } = (typeof body === 'object' && body !== null ? body : {}) as Partial<Problem>;
  const known = isErrorCode(code) ? code : undefined;
  const text = typeof detail === 'string' ? detail : `The service answered with status ${status}. Look into its log.`;
  return new CairnError(known ?? codeOfStatus(status), text, errors && { errors });
}

function codeOfStatus(status: number): CairnError['code'] {
  const rows = Object.entries(catalogue) as [CairnError['code'], { http: number }][];
  return status < 500 ? (rows.find(([, { http }]) => http === status)?.[0] ?? 'invalid-request') : 'internal';
}
