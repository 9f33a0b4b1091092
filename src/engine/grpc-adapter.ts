/**
 * Typed servers and clients for `@bufbuild/protobuf` service descriptors on `@grpc/grpc-js`: unary calls and server streams.
 * Errors cross as catalogued ones: status and message by gRPC, the code in the trailer {@link grpcCodeTrailer}.
 */
import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethod,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import * as grpc from '@grpc/grpc-js';
import { fromGrpc, grpcCodeTrailer, toCairnError, type CairnError } from '../errors.js';

/** A server stream's receiving end; `closed` aborts when the client has gone. */
export interface Outgoing<Message> {
  send(message: Message): void;
  readonly closed: AbortSignal;
}

/** What a server implements: a unary method resolves to its response, a stream lives until its promise settles. */
export type ServiceHandlers<S extends DescService> = {
  [M in keyof S['method']]: S['method'][M] extends DescMethodUnary<infer I, infer O>
    ? (request: MessageShape<I>) => Promise<MessageInitShape<O>>
    : S['method'][M] extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageShape<I>, stream: Outgoing<MessageInitShape<O>>) => Promise<void>
      : never;
};

/** What a client calls: a stream's promise resolves when the server ends it, and rejects when it breaks or is aborted. */
export type ServiceClient<S extends DescService> = {
  [M in keyof S['method']]: S['method'][M] extends DescMethodUnary<infer I, infer O>
    ? (request: MessageInitShape<I>, options?: { timeoutMs?: number }) => Promise<MessageShape<O>>
    : S['method'][M] extends DescMethodServerStreaming<infer I, infer O>
      ? (
          request: MessageInitShape<I>,
          each: (message: MessageShape<O>) => void,
          options?: { signal?: AbortSignal },
        ) => Promise<void>
      : never;
};

type AnyUnary = (request: unknown) => Promise<MessageInitShape<DescMessage>>;
type AnyStream = (request: unknown, stream: Outgoing<MessageInitShape<DescMessage>>) => Promise<void>;

export function addService<S extends DescService>(
  server: grpc.Server,
  service: S,
  handlers: ServiceHandlers<S>,
  onError: (method: string, error: CairnError) => void = () => {},
): void {
  const definition: Record<string, grpc.MethodDefinition<unknown, unknown>> = {};
  const implementation: grpc.UntypedServiceImplementation = {};
  for (const method of service.methods) {
    const handler = handlers[method.localName as keyof S['method']] as unknown;
    const report = (error: unknown): grpc.ServiceError => {
      const catalogued = toCairnError(error);
      onError(method.name, catalogued);
      return toServiceError(catalogued);
    };
    definition[method.localName] = definitionOf(method);
    implementation[method.localName] =
      method.methodKind === 'unary'
        ? serveUnary(method, handler as AnyUnary, report)
        : serveStream(method, handler as AnyStream, report);
  }
  server.addService(definition, implementation);
}

export function createClient<S extends DescService>(
  channel: grpc.Client,
  service: S,
  defaultTimeoutMs: number,
): ServiceClient<S> {
  const client: Record<string, unknown> = {};
  for (const method of service.methods) {
    client[method.localName] =
      method.methodKind === 'unary' ? callUnary(channel, method, defaultTimeoutMs) : callStream(channel, method);
  }
  return client as ServiceClient<S>;
}

function serveUnary(method: DescMethod, handler: AnyUnary, report: (error: unknown) => grpc.ServiceError) {
  return (call: grpc.ServerUnaryCall<unknown, unknown>, done: grpc.sendUnaryData<unknown>): void => {
    const answer = async (): Promise<void> => {
      try {
        done(null, create(method.output, await handler(call.request)));
      } catch (error) {
        done(report(error));
      }
    };
    void answer();
  };
}

function serveStream(method: DescMethod, handler: AnyStream, report: (error: unknown) => grpc.ServiceError) {
  return (call: grpc.ServerWritableStream<unknown, unknown>): void => {
    const gone = new AbortController();
    call.on('cancelled', () => gone.abort());
    const stream = {
      send: (message: MessageInitShape<DescMessage>): void => void call.write(create(method.output, message)),
      closed: gone.signal,
    };
    handler(call.request, stream).then(
      () => call.end(),
      (error: unknown) => call.emit('error', report(error)),
    );
  };
}

function callUnary(channel: grpc.Client, method: DescMethod, defaultTimeoutMs: number) {
  const { path, requestSerialize, responseDeserialize } = definitionOf(method);
  return (request: MessageInitShape<DescMessage>, options: { timeoutMs?: number } = {}): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const deadline = Date.now() + (options.timeoutMs ?? defaultTimeoutMs);
      channel.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        create(method.input, request),
        new grpc.Metadata(),
        { deadline },
        (error, response) => (error ? reject(fromServiceError(error)) : resolve(response)),
      );
    });
}

function callStream(channel: grpc.Client, method: DescMethod) {
  const { path, requestSerialize, responseDeserialize } = definitionOf(method);
  return (
    request: MessageInitShape<DescMessage>,
    each: (message: unknown) => void,
    options: { signal?: AbortSignal } = {},
  ): Promise<void> =>
    new Promise((resolve, reject) => {
      const call = channel.makeServerStreamRequest(
        path,
        requestSerialize,
        responseDeserialize,
        create(method.input, request),
      );
      call.on('data', each);
      call.on('end', resolve);
      call.on('error', (error: grpc.ServiceError) => reject(fromServiceError(error)));
      if (options.signal?.aborted) call.cancel();
      options.signal?.addEventListener('abort', () => call.cancel(), { once: true });
    });
}

function definitionOf(method: DescMethod): grpc.MethodDefinition<unknown, unknown> {
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: false,
    responseStream: method.methodKind === 'server_streaming',
    requestSerialize: (message) => Buffer.from(toBinary(method.input, message as MessageShape<DescMessage>)),
    requestDeserialize: (bytes) => fromBinary(method.input, bytes),
    responseSerialize: (message) => Buffer.from(toBinary(method.output, message as MessageShape<DescMessage>)),
    responseDeserialize: (bytes) => fromBinary(method.output, bytes),
  };
}

function toServiceError(error: CairnError): grpc.ServiceError {
  const metadata = new grpc.Metadata();
  metadata.set(grpcCodeTrailer, error.code);
  const code = grpc.status[error.grpcStatus];
  return Object.assign(new Error(error.detail), { code, details: error.detail, metadata });
}

function fromServiceError(error: grpc.ServiceError): CairnError {
  const trailer = error.metadata?.get(grpcCodeTrailer)[0]?.toString();
  return fromGrpc(trailer, grpc.status[error.code] ?? 'UNKNOWN', error.details, error);
}
