/** The API's description: OpenAPI 3.1 from the schemas that check it. */
import swagger, { type SwaggerTransformObject } from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';
import pkg from '../../package.json' with { type: 'json' };

const DOCS_PREFIX = '/docs';
/** Everything the pages need is served from here. */
const CONTENT_SECURITY =
  "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'";

export function describeApi(server: FastifyInstance): void {
  server.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'meterwarden',
        version: pkg.version,
        description:
          'Instrument → Reading → Finding → Task → Inspector. Every refusal is an Error: code, message, path.',
        license: { name: pkg.license, identifier: pkg.license },
      },
      components: {
        securitySchemes: {
          session: { type: 'http', scheme: 'bearer', description: 'The token of POST /api/v1/sessions.' },
        },
      },
    },
    transform: jsonSchemaTransform,
    transformObject: referencedOnly,
  });
  server.register(swaggerUi, { routePrefix: DOCS_PREFIX, staticCSP: CONTENT_SECURITY });
  server.register(async (scope) => {
    scope.get('/openapi.json', { schema: { hide: true } }, async () => server.swagger());
  });
}

/** Schemas come in a variant for requests and one for answers; what no route names is left out. */
const referencedOnly: SwaggerTransformObject = (document) => {
  const described = jsonSchemaTransformObject(document) as { components: { schemas: Record<string, unknown> } };
  const { schemas } = described.components;
  for (let removed = true; removed; ) {
    const written = JSON.stringify(described);
    const unused = Object.keys(schemas).filter((name) => !written.includes(`"#/components/schemas/${name}"`));
    for (const name of unused) delete schemas[name];
    removed = unused.length > 0;
  }
  return described as ReturnType<SwaggerTransformObject>;
};
