/**
 * Open lines grouped by visit and document. A prescription or request is settled whole (the server reserves its stock
 * as one); only supplementary lines can be chosen one by one.
 */
import { sum } from '@/lib/money'
import type { Row } from '@/lib/types'
import { formatDateTime } from '@/lib/format'
import { sourceName } from './names'

export interface UnpaidLine extends Row {
  id: number
  encounter_id: number
  visit_no: string
  source: string
  source_id: number
  name: string
  amount: string
  department: string | null
  doctor: string | null
  created_at: string
}

export interface UnpaidRow extends Row {
  key: string
  level: 'visit' | 'document' | 'line'
  /** The lines that this row stands for. */
  ids: number[]
  /** Keys of the smallest rows with a check box below (or at) this row; none: this row has no box. */
  units: string[]
}

export function unpaidRows(lines: UnpaidLine[]): UnpaidRow[] {
  const rows: UnpaidRow[] = []
  for (const visit of groups(lines, (line) => String(line.encounter_id))) {
    const head: UnpaidRow = {
      key: `v${visit[0].encounter_id}`, level: 'visit', ids: visit.map((line) => line.id), units: [],
      name: `就诊 ${visit[0].visit_no}`, code: '', amount: sum(visit.map((line) => line.amount)),
    }
    rows.push(head)
    for (const lines_ of groups(visit, (line) => `${line.source}:${line.source_id}`)) {
      const first = lines_[0]
      const single = first.source === 'supplement'
      const key = `d${first.source}:${first.source_id}`
      const document: UnpaidRow = {
        key, level: 'document', ids: lines_.map((line) => line.id), units: single ? lines_.map((line) => `l${line.id}`) : [key],
        name: [sourceName(first.source), first.department, first.doctor].filter(Boolean).join(' · '),
        source: first.source, at: formatDateTime(first.created_at), amount: sum(lines_.map((line) => line.amount)),
      }
      head.units.push(...document.units)
      rows.push(document)
      for (const line of lines_) rows.push({ ...line, key: `l${line.id}`, level: 'line', ids: [line.id], units: single ? [`l${line.id}`] : [] })
    }
  }
  return rows
}

function groups<T>(all: T[], keyOf: (one: T) => string): T[][] {
  const found = new Map<string, T[]>()
  for (const one of all) {
    const key = keyOf(one)
    const group = found.get(key)
    if (group) group.push(one)
    else found.set(key, [one])
  }
  return Array.from(found.values())
}

/** Keys that the table shows as checked: every row all of whose units are. */
export function checkedKeys(rows: UnpaidRow[], units: Set<string>): string[] {
  return rows.filter((row) => row.units.length && row.units.every((unit) => units.has(unit))).map((row) => row.key)
}

/** The units after the table said that these keys are checked; the one row that changed carries all below it along. */
export function toggled(rows: UnpaidRow[], units: Set<string>, keys: (string | number)[]): Set<string> {
  const before = new Set(checkedKeys(rows, units))
  const after = new Set(keys.map(String))
  const next = new Set(units)
  const changed = rows.filter((row) => before.has(row.key) !== after.has(row.key))
  // "All" and "none" change many rows at once: each says the same.
  for (const row of changed) for (const unit of row.units) after.has(row.key) ? next.add(unit) : next.delete(unit)
  return next
}

/** The lines of the chosen units. */
export function chosenLines(rows: UnpaidRow[], units: Set<string>): number[] {
  return rows.filter((row) => units.has(row.key)).flatMap((row) => row.ids)
}
