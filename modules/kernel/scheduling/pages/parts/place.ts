/** What sessions and the weekly schedule have in common: where, who, when, at which level. */
import { useLoader } from '@/lib/submit'
import { api } from '@/lib/api'
import type { Row } from '@/lib/types'

export const PERIODS = ['上午', '下午', '夜间', '全天'].map((value) => ({ value, label: value }))
export const WEEKDAYS = ['周一', '周二', '周三', '周四', '周五', '周六', '周日'].map((label, i) => ({ value: i + 1, label }))
export const findDoctors = async (q: string, signal: AbortSignal): Promise<Row[]> => (await api.get<{ items: Row[] }>('masterdata/staff', { q, kind: 'doctor' }, { signal })).items
export const findClinics = async (q: string, signal: AbortSignal): Promise<Row[]> =>
  (await api.get<{ items: Row[] }>('masterdata/departments', { q, limit: 200 }, { signal })).items.filter((one) => one.outpatient || one.emergency)

/** Levels in use, as choices. */
export function useLevels() {
  const levels = useLoader((signal) => api.get<{ items: Row[] }>('scheduling/levels', {}, { signal }))
  void levels.load()
  return () => (levels.data.value?.items ?? []).filter((one) => one.active).map((one) => ({ value: String(one.code), label: String(one.code) }))
}
