/** Shapes and words that the order pages share. */
import type { Row, Tone } from '@/lib/types'

export interface Choice { code: string; name: string; keys: string[] }

export interface Choices {
  usages: Choice[]
  frequencies: (Choice & { times_per_day: number | null; interval_days: number | null })[]
  departments: (Choice & { id: number; kind: string })[]
}

/** A short list searched here, by the keys that the server gave (pinyin, initials, wubi, code) or the name itself. */
export function within<C extends Choice>(list: () => readonly C[]): (q: string) => Promise<C[]> {
  return (q) => {
    const typed = q.trim().toLowerCase()
    const rank = (one: C) => (one.code.toLowerCase() === typed || one.name === q.trim() ? 0 : one.name.startsWith(q.trim()) ? 1 : 2)
    const found = list().filter((one) => !typed || one.name.includes(q.trim()) || one.keys.some((key) => key.startsWith(typed)))
    return Promise.resolve(found.map((one, i) => ({ one, i })).sort((a, b) => rank(a.one) - rank(b.one) || a.i - b.i).map(({ one }) => one))
  }
}

export interface Order {
  id: number; number: string; kind?: string; person_id: number; encounter_id: number; doctor_name: string; diagnosis: string
  state: string; issued_at: string; changed_at: string; changed_by_name: string; lines: Row[]
  performing_department_id?: number; store_id?: number; valid_until?: string; check_state?: string; check_text?: string
}

/** What the law asks of a prescription beyond its lines. */
export interface Extra {
  check_reason: string; extension_days: number; extension_reason: string; long_term: boolean; assessment: string; signed_by: string
  consultant: Row | null; override_reason: string
}
export const blankExtra = (): Extra => ({ check_reason: '', extension_days: 0, extension_reason: '', long_term: false, assessment: '', signed_by: '', consultant: null, override_reason: '' })
export const EXTRA_FIELDS = ['check_reason', 'extension_reason', 'long_term', 'assessment', 'signed_by', 'consultant_id']

export interface Previewed {
  drug_id: number; quantity: string; suggested: string; quantity_text: string; unit: string; unit_quantity: string
  price: string; amount: string; warnings: string[]
}

export const ORDER_STATES: Record<string, { text: string; tone: Tone }> = {
  issued: { text: '待收费', tone: 'warn' }, charged: { text: '已收费', tone: 'info' }, dispensed: { text: '已发药', tone: 'good' },
  performed: { text: '已执行', tone: 'good' }, cancelled: { text: '已作废', tone: 'done' }, refunded: { text: '已退费', tone: 'done' },
}
export const VISIT_STATES: Record<string, { text: string; tone: Tone }> = {
  waiting: { text: '候诊', tone: 'warn' }, seen: { text: '接诊中', tone: 'info' }, finished: { text: '已结束', tone: 'done' },
}
