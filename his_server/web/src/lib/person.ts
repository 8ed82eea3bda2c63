import { today } from './format'
import type { Patient, Row } from './types'

const SEXES: Record<string, string> = { '1': '男', '2': '女', '9': '未说明', '0': '未知' }

/** "男" for the code "1" of GB/T 2261.1; what is no code stays as it came. */
export function sexName(code: unknown): string {
  return SEXES[String(code ?? '')] ?? String(code ?? '')
}

/** Age on a day as people say it: "46岁", under three "2岁3月", "5月", "12天". Empty where the birth date is not known. */
export function ageOf(birth: string | null | undefined, on = today()): string {
  if (!birth || !/^\d{4}-\d{2}-\d{2}/.test(birth)) return ''
  const [y, m, d] = birth.slice(0, 10).split('-').map(Number)
  const [ty, tm, td] = on.split('-').map(Number)
  const months = (ty - y) * 12 + (tm - m) - (td < d ? 1 : 0)
  if (months < 0) return ''
  if (months >= 36) return `${Math.floor(months / 12)}岁`
  if (months >= 12) return `${Math.floor(months / 12)}岁${months % 12 ? `${months % 12}月` : ''}`
  if (months >= 1) return `${months}月`
  return `${Math.round((Date.UTC(ty, tm - 1, td) - Date.UTC(y, m - 1, d)) / 86_400_000)}天`
}

/** Allergies as one text become the marks of the patient bar; "无" and the like are none. */
export function allergyList(text: unknown): string[] {
  if (Array.isArray(text)) return text.map(String)
  return String(text ?? '').split(/[、，,;；\s]+/).filter((one) => one && !/^(无|没有|否认.*|[无没未].*过敏.*)$/.test(one))
}

/** The noted allergy that a drug's name contains, or "". A help to the eye by the name alone: no check of substances. */
export function namedAllergy(allergies: readonly string[] | undefined, drug: unknown): string {
  return (allergies ?? []).find((one) => one.length > 1 && String(drug ?? '').includes(one)) ?? ''
}

/** A person of any answer as the patient bar shows it. */
export function asPatient(row: Row): Patient {
  return {
    ...row, id: Number(row.person_id ?? row.id), name: String(row.name ?? ''), sex: sexName(row.sex),
    age: (row.age as string | undefined) ?? ageOf(row.birth_date as string | null), allergies: allergyList(row.allergies),
  }
}
