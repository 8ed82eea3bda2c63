// Runs a batch of cases through sm-crypto-v2: JSON list on stdin, JSON list on stdout.
import { readFileSync } from 'node:fs'
import { sm2, sm3, sm4 } from 'sm-crypto-v2'

const bytes = (hex) => Uint8Array.from(Buffer.from(hex, 'hex'))
const options = (item) => ({ hash: true, userId: item.uid ?? '1234567812345678' })

const operations = {
  sign: (item) => sm2.doSignature(bytes(item.data), item.private, options(item)),
  verify: (item) => sm2.doVerifySignature(bytes(item.data), item.signature, '04' + item.public, options(item)),
  encrypt: (item) => sm2.doEncrypt(bytes(item.data), '04' + item.public, 1),
  decrypt: (item) => Buffer.from(sm2.doDecrypt(item.blob, item.private, 1, { output: 'array' })).toString('hex'),
  sm3: (item) => sm3(bytes(item.data)),
  hmac: (item) => sm3(bytes(item.data), { key: item.key }),
  cbc: (item) => sm4.encrypt(bytes(item.data), item.key, { mode: 'cbc', iv: item.iv }),
  gcm: (item) => {
    const out = sm4.encrypt(bytes(item.data), item.key, {
      mode: 'gcm', iv: item.nonce, associatedData: item.aad, outputTag: true,
    })
    return out.output + out.tag
  },
}

const cases = JSON.parse(readFileSync(0, 'utf8'))
process.stdout.write(JSON.stringify(cases.map((item) => {
  try {
    return operations[item.op](item)
  } catch (error) {
    return { error: String(error) }
  }
})))
