/** The OpenAPI 3.1 document of the table of operations. */
import { catalogue, type ErrorCode } from '../errors.js';
import { operations, type Operation } from './operations.js';
import { problemType } from './problem.js';
import { operationIds, type OperationId } from './routes.js';
import { Problem } from './schemas.js';
import { eventStreamType } from './event-stream.js';

type Json = Record<string, unknown>;

/** Every operation that takes input can be answered with these; every one at all with those after. */
const codesOfInput: readonly ErrorCode[] = ['invalid-request'];
const codesOfBody: readonly ErrorCode[] = ['malformed-body', 'body-too-large', 'unsupported-media-type'];
const codesOfAll: readonly ErrorCode[] = ['overloaded', 'internal'];

export function openApiDocument(version: string): Json {
  const components = new Components();
  const paths: Record<string, Json> = {};
  for (const id of operationIds) {
    const operation: Operation = operations[id];
    const path = operation.path.replaceAll(/:(\w+)/g, '{$1}');
    (paths[path] ??= {})[operation.method.toLowerCase()] = describe(id, operation, components);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Cairn',
      version,
      description: 'Thin-provisioned block volumes with snapshots.',
      license: { name: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: [{ name: 'Volumes' }, { name: 'Keys' }, { name: 'Snapshots' }, { name: 'Node' }],
    paths,
    components: { schemas: components.schemas },
  };
}

function describe(id: OperationId, operation: Operation, components: Components): Json {
  const { summary, description, tag } = operation;
  const parameters = [...parametersOf(operation.params, 'path'), ...parametersOf(operation.query, 'query')];
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description !== undefined && { description }),
    ...(parameters.length > 0 && { parameters }),
    ...(takesBody(operation) && { requestBody: requestBody(operation, components) }),
    responses: { [operation.status]: success(operation, components), ...problems(operation, components) },
  };
}

function parametersOf(schema: Operation['params'], place: 'path' | 'query'): Json[] {
  const { required = [] } = schema as { required?: string[] };
  return Object.entries(propertiesOf(schema)).map(([name, { description, ...property }]) => ({
    name,
    in: place,
    required: place === 'path' || required.includes(name),
    ...(description !== undefined && { description }),
    schema: withoutRules(property),
  }));
}

function requestBody({ body, isBodyOptional }: Operation, components: Components): Json {
  return { required: !isBodyOptional, content: { 'application/json': { schema: components.refer(body) } } };
}

const successes = { 200: 'Success.', 201: 'Created.', 202: 'Done, or under way.' } as const;

function success({ status, response, query }: Operation, components: Components): Json {
  if (status === 204) return { description: 'Done.' };
  const content: Json = { 'application/json': { schema: components.refer(response) } };
  if ('follow' in propertiesOf(query)) content[eventStreamType] = { schema: { type: 'string' } };
  return { description: successes[status], content };
}

/** One response for each status, naming the codes that come with it. */
function problems(operation: Operation, components: Components): Json {
  const hasInput = takesBody(operation) || Object.keys(propertiesOf(operation.query)).length > 0;
  const codes = new Set([
    ...operation.errors,
    ...(hasInput ? codesOfInput : []),
    ...(takesBody(operation) ? codesOfBody : []),
    ...codesOfAll,
  ]);
  const byStatus: Record<number, ErrorCode[]> = {};
  for (const code of codes) (byStatus[catalogue[code].http] ??= []).push(code);
  const schema = components.refer(Problem);
  return Object.fromEntries(
    Object.entries(byStatus).map(([status, each]) => [
      status,
      {
        description: each.map((code) => `\`${code}\`: ${catalogue[code].title}.`).join(' '),
        content: { [problemType]: { schema } },
      },
    ]),
  );
}

function takesBody({ body }: Operation): boolean {
  return Object.keys(propertiesOf(body)).length > 0;
}

function propertiesOf(schema: object): Record<string, Json> {
  return (schema as { properties?: Record<string, Json> }).properties ?? {};
}

/** Schemas with a title stand once under `components` and are referred to. */
class Components {
  readonly schemas: Record<string, unknown> = {};

  refer(schema: unknown): unknown {
    if (Array.isArray(schema)) return schema.map((each) => this.refer(each));
    if (typeof schema !== 'object' || schema === null) return schema;
    const plain = Object.fromEntries(
      Object.entries(withoutRules(schema as Json)).map(([key, value]) => [key, this.refer(value)]),
    );
    const { title, type } = plain;
    if (typeof title !== 'string' || type !== 'object') return plain;
    this.schemas[title] = plain;
    return { $ref: `#/components/schemas/${title}` };
  }
}

/** Our own words for broken patterns are no part of the document. */
function withoutRules({ 'x-rule': _rule, ...schema }: Json): Json {
  return schema;
}
