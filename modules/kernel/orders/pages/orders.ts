/** Shapes and words that the order pages share. */
import type { Row, Tone } from '@/lib/types'

export interface Choices {
  usages: { code: string; name: string }[]
  frequencies: { code: string; name: string; times_per_day: number | null; interval_days: number | null }[]
  departments: { id: number; code: string; name: string; kind: string }[]
}

export interface Order {
  id: number; number: string; kind?: string; person_id: number; encounter_id: number; doctor_name: string; diagnosis: string
  state: string; issued_at: string; changed_at: string; changed_by_name: string; lines: Row[]
  performing_department_id?: number; store_id?: number
}

export interface Previewed {
  drug_id: number; quantity: string; suggested: string; quantity_text: string; unit: string; unit_quantity: string
  price: string; amount: string; warnings: string[]
}

export const ORDER_STATES: Record<string, { text: string; tone: Tone }> = {
  issued: { text: '待收费', tone: 'warn' }, charged: { text: '已收费', tone: 'info' }, dispensed: { text: '已发药', tone: 'good' },
  performed: { text: '已执行', tone: 'good' }, cancelled: { text: '已作废', tone: 'done' }, refunded: { text: '已退费', tone: 'done' },
}
