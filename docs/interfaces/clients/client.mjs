// A worked client for the signed interface (see ../signing.md). Node 18 or later and the package sm-crypto-v2.
//
//   node client.mjs config.json POST '/api/open/v1/demo/echo?b=2&a=1' body.json [--encrypt]
//
// config.json: {"base": "https://his.example", "keyId": "…", "privateKey": "<64 hex>", "serverKeyId": "…",
// "serverPublicKey": "<128 hex>"}. Prints the verified answer as JSON: {"status": …, "body": "…"}.
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { sm2, sm3, sm4 } from 'sm-crypto-v2'

const SCHEME = 'HIS-SM2-1'
const OPTIONS = { hash: true, userId: '1234567812345678' }
const WINDOW = 300 // seconds

const utf8 = (text) => new TextEncoder().encode(text)
const hexToBase64 = (hex) => Buffer.from(hex, 'hex').toString('base64')
const digest = (body) => sm3(new Uint8Array(body))

// encodeURIComponent leaves ! ' ( ) * alone; the contract encodes them.
export const encode = (text) =>
  encodeURIComponent(text).replace(/[!'()*]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase())

export const canonicalPath = (path) => path.split('/').map((part) => encode(decodeURIComponent(part))).join('/')

export function canonicalQuery (query) {
  if (!query) return ''
  const decode = (text) => decodeURIComponent(text.replace(/\+/g, ' '))
  const pairs = query.split('&').filter(Boolean).map((pair) => {
    const at = pair.indexOf('=')
    return at < 0 ? [encode(decode(pair)), ''] : [encode(decode(pair.slice(0, at))), encode(decode(pair.slice(at + 1)))]
  })
  const order = (a, b) => (a < b ? -1 : a > b ? 1 : 0) // by code unit, never by locale
  return pairs.sort((a, b) => order(a[0], b[0]) || order(a[1], b[1])).map((pair) => pair.join('=')).join('&')
}

export const canonicalRequest = (method, path, query, body, timestamp, nonce, keyId, encryption) =>
  [SCHEME, method, canonicalPath(path), canonicalQuery(query), digest(body), timestamp, nonce, keyId, encryption].join('\n')

function seal (config, method, path, body) {
  const key = randomBytes(16)
  const nonce = randomBytes(12)
  const aad = utf8([SCHEME, 'SM2-SM4-GCM', method, canonicalPath(path)].join('\n'))
  const sealed = sm4.encrypt(new Uint8Array(body), key.toString('hex'), {
    mode: 'gcm', iv: nonce.toString('hex'), associatedData: Buffer.from(aad).toString('hex'), outputTag: true,
  })
  const document = {
    key: hexToBase64(sm2.doEncrypt(new Uint8Array(key), '04' + config.serverPublicKey, 1)),
    nonce: nonce.toString('base64'),
    data: hexToBase64(sealed.output + sealed.tag),
  }
  return [Buffer.from(JSON.stringify(document)), 'SM2-SM4-GCM;key=' + config.serverKeyId]
}

export async function call (config, method, target, body, encrypt = false) {
  const [path, query = ''] = target.split(/\?(.*)/s)
  let encryption = ''
  if (encrypt) [body, encryption] = seal(config, method, path, body)
  const timestamp = String(Math.floor(Date.now() / 1000))
  const nonce = randomBytes(16).toString('hex')
  const text = canonicalRequest(method, path, query, body, timestamp, nonce, config.keyId, encryption)
  const headers = {
    'X-HIS-Key': config.keyId,
    'X-HIS-Timestamp': timestamp,
    'X-HIS-Nonce': nonce,
    'X-HIS-Signature': hexToBase64(sm2.doSignature(utf8(text), config.privateKey, OPTIONS)),
    'Content-Type': 'application/json',
  }
  if (encryption) headers['X-HIS-Encryption'] = encryption
  const response = await fetch(config.base + target, { method, headers, body: body.length ? body : undefined })
  const answer = Buffer.from(await response.arrayBuffer())
  const stamp = response.headers.get('X-HIS-Timestamp') ?? ''
  const keyId = response.headers.get('X-HIS-Key') ?? ''
  const signature = Buffer.from(response.headers.get('X-HIS-Signature') ?? '', 'base64')
  const signed = [SCHEME + '-ANSWER', response.status, digest(answer), stamp, nonce, keyId].join('\n')
  const good = keyId === config.serverKeyId && signature.length === 64 &&
    Math.abs(Date.now() / 1000 - Number(stamp)) <= WINDOW &&
    sm2.doVerifySignature(utf8(signed), signature.toString('hex'), '04' + config.serverPublicKey, OPTIONS)
  if (!good) throw new Error("the answer's signature is wrong")
  return { status: response.status, body: answer.toString() }
}

if (process.argv.length > 4) {
  const [, , configFile, method, target, bodyFile] = process.argv
  const body = bodyFile && bodyFile !== '-' ? readFileSync(bodyFile) : Buffer.alloc(0)
  const config = JSON.parse(readFileSync(configFile, 'utf8'))
  console.log(JSON.stringify(await call(config, method, target, body, process.argv.includes('--encrypt'))))
}
