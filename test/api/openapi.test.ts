import { describe, expect, it } from 'vitest';
import { openApiDocument } from '../../src/api/openapi.js';
import { operations } from '../../src/api/operations.js';
import { operationIds } from '../../src/api/routes.js';
import { catalogue } from '../../src/errors.js';

interface Described {
  operationId: string;
  summary: string;
  parameters?: { name: string; in: string; required: boolean; schema: object }[];
  requestBody?: { required: boolean; content: Record<string, { schema: object }> };
  responses: Record<string, { description: string; content?: Record<string, { schema: object }> }>;
}

const document = openApiDocument('1.2.3') as {
  openapi: string;
  info: { title: string; version: string };
  paths: Record<string, Record<string, Described>>;
  components: { schemas: Record<string, object> };
};
const described = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
);

describe('the OpenAPI document', () => {
  it('says what it is', () => {
    expect(document.openapi).toBe('3.1.0');
    expect(document.info).toMatchObject({ title: 'Cairn', version: '1.2.3' });
  });

  it('lists every operation of the table, once', () => {
    expect(described.map(({ operation }) => operation.operationId).sort()).toEqual([...operationIds].sort());
  });

  it.each(operationIds)('describes %s as the table declares it', (id) => {
    const { method, path, status, errors } = operations[id];
    const found = described.find(({ operation }) => operation.operationId === id);
    expect(found).toMatchObject({ method: method.toLowerCase(), path: path.replaceAll(/:(\w+)/g, '{$1}') });
    const statuses = Object.keys(found?.operation.responses ?? {}).map(Number);
    expect(statuses).toContain(status);
    for (const code of errors) expect(statuses).toContain(catalogue[code].http);
  });

  it('declares each parameter of each path, and only those', () => {
    for (const { path, operation } of described) {
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const declared = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path');
      expect(declared.map(({ name }) => name)).toEqual(inPath);
      expect(declared.every(({ required }) => required)).toBe(true);
    }
  });

  it('gives every response a description and every error the problem schema', () => {
    for (const { operation } of described)
      for (const [status, response] of Object.entries(operation.responses)) {
        expect(response.description).not.toBe('');
        if (Number(status) >= 400)
          expect(response.content).toEqual({
            'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } },
          });
      }
  });

  it('refers only to schemas that it has', () => {
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)];
    expect(references.length).toBeGreaterThan(20);
    for (const [, name = ''] of references) expect(document.components.schemas).toHaveProperty(name);
  });

  it('keeps our own annotations to itself', () => {
    expect(JSON.stringify(document)).not.toContain('x-rule');
  });
});
