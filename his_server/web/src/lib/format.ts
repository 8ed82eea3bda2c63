import { formatMoney, formatNumber, formatPrice, formatQuantity, multiply } from './money'
import type { Align, Column, Row } from './types'

const ZONE = 'Asia/Shanghai'

const parts = new Intl.DateTimeFormat('en-CA', {
  timeZone: ZONE, year: 'numeric', month: '2-digit', day: '2-digit',
  hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23',
})

function pieces(value: string | Date): Record<string, string> | null {
  const date = typeof value === 'string' ? new Date(value) : value
  if (Number.isNaN(date.getTime())) return null
  const out: Record<string, string> = {}
  for (const { type, value: text } of parts.formatToParts(date)) out[type] = text
  return out
}

/** "2026-11-23" from a date or an instant (shown in hospital time). */
export function formatDate(value: unknown): string {
  if (!value) return ''
  if (typeof value === 'string' && /^\d{4}-\d{2}-\d{2}$/.test(value)) return value
  const p = pieces(value as string | Date)
  return p ? `${p.year}-${p.month}-${p.day}` : String(value)
}

/** "11-23 10:21" this year, else "2025-11-23 10:21". */
export function formatDateTime(value: unknown, full = false): string {
  if (!value) return ''
  const p = pieces(value as string | Date)
  if (!p) return String(value)
  return full ? `${p.year}-${p.month}-${p.day} ${p.hour}:${p.minute}:${p.second}` : `${p.year}-${p.month}-${p.day} ${p.hour}:${p.minute}`
}

export function formatTime(value: unknown): string {
  if (!value) return ''
  if (typeof value === 'string' && /^\d{2}:\d{2}/.test(value)) return value.slice(0, 5)
  const p = pieces(value as string | Date)
  return p ? `${p.hour}:${p.minute}` : String(value)
}

/** Today's date in hospital time, "YYYY-MM-DD". */
export function today(offsetDays = 0): string {
  return formatDate(new Date(Date.now() + offsetDays * 86_400_000))
}

const RIGHT = new Set(['money', 'price', 'quantity', 'number', 'int', 'percent'])
const CENTRE = new Set(['flag', 'status', 'time'])

/** Numbers to the right, short marks in the middle, words to the left. */
export function alignOf(column: { kind?: string; align?: Align }): Align {
  if (column.align) return column.align
  const kind = column.kind ?? 'text'
  return RIGHT.has(kind) ? 'right' : CENTRE.has(kind) ? 'center' : 'left'
}

/** Text of a cell by the column's kind. */
export function cellText(column: Column, row: Row): string {
  const value = row[column.key]
  if (column.format) return column.format(value, row)
  return valueText(column.kind ?? 'text', value)
}

export function valueText(kind: string, value: unknown): string {
  if (value === null || value === undefined) return ''
  switch (kind) {
    case 'money': return formatMoney(value)
    case 'price': return formatPrice(value)
    case 'quantity': return formatQuantity(value)
    case 'percent': return value === '' ? '' : `${multiply(String(value), '100')}%`
    case 'date': return formatDate(value)
    case 'datetime': return formatDateTime(value)
    case 'time': return formatTime(value)
    case 'int': case 'number': return formatNumber(value)
    case 'flag': return value === true || value === 1 || value === '1' ? '✓' : ''
    default: return String(value)
  }
}
