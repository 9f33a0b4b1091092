/** What monitoring asks: is the service alive, can it work, how is it doing. */
import type { FastifyInstance } from 'fastify';

export interface Probes {
  /** Rejects with the reason why requests cannot be served now. */
  ready(): Promise<void>;
  /** Prometheus' text format. */
  metrics(): Promise<{ contentType: string; text: string }>;
}

export const probePaths: readonly string[] = ['/healthz', '/readyz', '/metrics'];

export function addProbes(app: FastifyInstance, probes: Probes): void {
  app.get('/healthz', async () => ({ status: 'ok' }));
  app.get('/readyz', async () => {
    await probes.ready();
    return { status: 'ready' };
  });
  app.get('/metrics', async (_request, reply) => {
    const { contentType, text } = await probes.metrics();
    return reply.type(contentType).send(text);
  });
  app.get('/', (_request, reply) => reply.redirect('/docs'));
}
