/** Dates as typed: pure, on "YYYY-MM-DD" strings. */

export function isDate(text: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return false
  const date = new Date(`${text}T00:00:00Z`)
  return !Number.isNaN(date.getTime()) && date.toISOString().slice(0, 10) === text
}

export function addDays(date: string, days: number): string {
  const moment = new Date(`${date}T00:00:00Z`)
  moment.setUTCDate(moment.getUTCDate() + days)
  return moment.toISOString().slice(0, 10)
}

/**
 * What was typed as a date, or null: yyyymmdd, yyyy-m-d, yyyy年m月d日, mmdd (this year), dd or d (this month),
 * "+3" / "-1" days from today, "t" today.
 */
export function readDate(text: string, today: string): string | null {
  const clean = text.trim().replace(/[０-９]/g, (c) => String.fromCharCode(c.charCodeAt(0) - 0xfee0))
  if (!clean) return null
  if (/^t$/i.test(clean)) return today
  if (/^[+-]\d{1,4}$/.test(clean)) return addDays(today, Number(clean))
  const spread = /^(\d{4})[-./年](\d{1,2})[-./月](\d{1,2})日?$/.exec(clean)
  let parts: string[] | null = spread ? [spread[1], spread[2], spread[3]] : null
  if (!parts && /^\d{8}$/.test(clean)) parts = [clean.slice(0, 4), clean.slice(4, 6), clean.slice(6)]
  if (!parts && /^\d{6}$/.test(clean)) parts = [`20${clean.slice(0, 2)}`, clean.slice(2, 4), clean.slice(4)]
  if (!parts && /^\d{4}$/.test(clean)) parts = [today.slice(0, 4), clean.slice(0, 2), clean.slice(2)]
  if (!parts && /^\d{1,2}$/.test(clean)) parts = [today.slice(0, 4), today.slice(5, 7), clean]
  if (!parts) return null
  const date = `${parts[0]}-${parts[1].padStart(2, '0')}-${parts[2].padStart(2, '0')}`
  return isDate(date) ? date : null
}

/** Six weeks of a month ("2026-11"), Monday first. */
export function monthGrid(month: string): string[] {
  const first = `${month}-01`
  const weekday = (new Date(`${first}T00:00:00Z`).getUTCDay() + 6) % 7
  return Array.from({ length: 42 }, (_, i) => addDays(first, i - weekday))
}

export function addMonths(month: string, step: number): string {
  const [year, number] = month.split('-').map(Number)
  const all = year * 12 + number - 1 + step
  return `${Math.floor(all / 12)}-${String((all % 12) + 1).padStart(2, '0')}`
}
