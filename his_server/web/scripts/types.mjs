// Writes src/lib/openapi.d.ts from a running server's OpenAPI document: npm run types [-- http://host:port]
import { writeFileSync } from 'node:fs'
import openapiTS, { astToString } from 'openapi-typescript'

const server = process.argv[2] ?? 'http://127.0.0.1:8000'
const tree = await openapiTS(new URL('/api/openapi.json', server))
writeFileSync(new URL('../src/lib/openapi.d.ts', import.meta.url), astToString(tree))
