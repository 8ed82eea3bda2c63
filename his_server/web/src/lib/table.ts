/** Pure helpers of DataTable: sorting, totals, which rows to draw. */
import { compare, isDecimal, sum } from './money'
import type { Column, Row } from './types'

export interface Sort {
  key: string
  down: boolean
}

const NUMERIC = new Set(['money', 'price', 'quantity', 'number', 'int', 'percent'])
const words = new Intl.Collator('zh-Hans-CN', { numeric: true })

/** Sorted copy; empty values last in either direction; equal ones keep their order. */
export function sortRows<T extends Row>(rows: readonly T[], sort: Sort | null, columns: Column[]): readonly T[] {
  if (!sort) return rows
  const kind = columns.find((column) => column.key === sort.key)?.kind ?? 'text'
  const numeric = NUMERIC.has(kind)
  const empty = (value: unknown) => value === null || value === undefined || value === ''
  return rows.map((row, i) => ({ row, i })).sort((a, b) => {
    const x = a.row[sort.key]
    const y = b.row[sort.key]
    if (empty(x) || empty(y)) return empty(x) && empty(y) ? a.i - b.i : empty(x) ? 1 : -1
    const order = numeric && isDecimal(String(x), 12) && isDecimal(String(y), 12)
      ? compare(String(x), String(y)) : words.compare(String(x), String(y))
    return (sort.down ? -order : order) || a.i - b.i
  }).map(({ row }) => row)
}

/** Column sums of the rows at hand. */
export function totalsOf(rows: readonly Row[], columns: Column[]): Row {
  const out: Row = {}
  for (const column of columns) {
    if (!column.total) continue
    const values = rows.map((row) => String(row[column.key] ?? '')).filter((value) => isDecimal(value, 12))
    out[column.key] = sum(values, column.kind === 'money' || column.kind === undefined ? 2 : 4)
  }
  return out
}

export interface Window {
  first: number
  last: number
  above: number
  below: number
}

/** Rows to draw of `count` rows of equal height, with some to spare above and below. */
export function windowOf(count: number, height: number, scroll: number, view: number, spare = 12): Window {
  const first = Math.max(0, Math.min(count, Math.floor(scroll / height) - spare))
  const last = Math.max(first, Math.min(count, Math.ceil((scroll + view) / height) + spare))
  return { first, last, above: first * height, below: (count - last) * height }
}
