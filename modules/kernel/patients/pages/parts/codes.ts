/** Dictionaries of a person's file, fetched once per page load, and the five places of a person. */
import { reactive } from 'vue'
import { api } from '@/lib/api'
import type { Row } from '@/lib/types'

export interface Choice { value: string; label: string }

const NAMES = { id_type: 'psn_cert_type', marriage: 'marriage', ethnic: 'ethnic', occupation: 'fp_occupation', contact_relation: 'relation', nationality: 'nationality' }
export type Coded = keyof typeof NAMES

const choices = reactive<Record<string, Choice[]>>({})
let asked: Promise<void> | null = null

/** The choices of each coded field; empty until they have come. A failure is asked again at the next call. */
export function useCodes(): { choices: Record<string, Choice[]>; nameOf: (field: Coded, code: unknown) => string } {
  asked ??= Promise.all(Object.entries(NAMES).map(async ([field, dictionary]) => {
    const found = await api.get<{ items: Row[] }>(`masterdata/dictionaries/${dictionary}`)
    choices[field] = found.items.map((one) => ({ value: String(one.code), label: String(one.name) }))
  })).then(() => undefined, () => {
    asked = null
  })
  return { choices, nameOf: (field, code) => (code ? choices[field]?.find((one) => one.value === code)?.label ?? String(code) : '') }
}

/** GB/T 2261.1 as it is chosen; unknown is the empty choice. */
export const SEXES: Choice[] = [{ value: '1', label: '男' }, { value: '2', label: '女' }, { value: '9', label: '未说明' }]

/** Why a file is protected (GB/T 39725); the server's KINDS. */
export const PROTECTION_KINDS: Choice[] = [
  { value: 'dispute', label: '医疗纠纷' }, { value: 'infectious', label: '传染病' }, { value: 'hiv', label: '艾滋病' }, { value: 'psychiatric', label: '精神疾病' },
  { value: 'minor', label: '未成年人' }, { value: 'vip', label: '特殊人员' }, { value: 'staff', label: '本院职工' }, { value: 'other', label: '其他' },
]

/** The places of a person: each is asked for by itself and never copied from another (M3.5). */
export const PLACES = [
  { key: 'home', title: '现住址', detail: true }, { key: 'household', title: '户口地址', detail: true }, { key: 'birth', title: '出生地', detail: true },
  { key: 'native', title: '籍贯', detail: false }, { key: 'work', title: '单位地址', detail: true },
] as const

/** Present regions for a code box (M1.4): ended ones lead to their successor on the server. */
export async function findRegions(q: string, signal: AbortSignal): Promise<Row[]> {
  const found = await api.get<{ items: Row[] }>('masterdata/regions', { q, limit: 30 }, { signal })
  return found.items.map((one) => ({ ...one, id: one.code }))
}
