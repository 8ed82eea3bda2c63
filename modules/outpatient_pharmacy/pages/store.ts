/** Which pharmacy this person works in: asked once, remembered per user on any workstation (M7.6). */
import { computed, ref, type ComputedRef, type Ref } from 'vue'
import { api, asApiError, type ApiError } from '@/lib/api'
import { usePreference } from '@/lib/preferences'

export interface Store { id: number; code: string; name: string; kind: string }

export interface StoreChoice {
  stores: Ref<Store[]>
  store: Ref<number | null>
  options: ComputedRef<{ value: number; label: string }[]>
  error: Ref<ApiError | null>
  nameOf: (id: number) => string
  choose: (id: string | number | null) => void
  load: () => Promise<void>
}

/** `kinds`: which stores can be chosen here; a place for one kind alone remembers nothing. */
export function useStore(kinds: string[] = ['outpatient', 'emergency']): StoreChoice {
  const before = usePreference('pharmacy.store', '')
  const stores = ref<Store[]>([])
  const store = ref<number | null>(null)
  const error = ref<ApiError | null>(null)

  function choose(id: string | number | null): void {
    store.value = id === null ? null : Number(id)
    if (store.value !== null && kinds.length > 1) before.value.value = String(store.value)
  }

  async function load(): Promise<void> {
    try {
      stores.value = (await api.get<{ items: Store[] }>('outpatient-pharmacy/stores', { wards: kinds.includes('ward') })).items.filter((one) => kinds.includes(one.kind))
      error.value = null
      await before.ready
      store.value = (stores.value.find((one) => String(one.id) === before.value.value) ?? stores.value.find((one) => one.kind === 'outpatient') ?? stores.value[0])?.id ?? null
    } catch (thrown) {
      error.value = asApiError(thrown)
    }
  }

  return {
    stores, store, error, choose, load,
    options: computed(() => stores.value.map((one) => ({ value: one.id, label: one.name }))),
    nameOf: (id) => stores.value.find((one) => one.id === id)?.name ?? '',
  }
}

/** Why a scan came to nothing, in words that say what is wrong with it. */
export function scanProblem(thrown: unknown): string {
  const error = asApiError(thrown)
  return error.status === 422 && error.errors.length ? `扫码内容有误：${error.errors[0].message}` : error.message
}

export interface BatchLine { lot_no: string; expiry: string; quantity: string; quantity_text: string; returned: boolean }

export interface DrugLine {
  id: number; drug_id: number; name: string; spec: string; dose: string; dose_unit: string; usage: string; frequency: string
  days: number; quantity: string; quantity_text: string; unit: string; factor: string; amount: string; note: string
  pack_size: number; control: string; shelf: string; left: string; codes: string[]
  returnable: string; returnable_units: string; returnable_text: string; claimed: string; refunded: string; batches: BatchLine[]
}

export interface Check { outcome: string; needs_person: boolean; why: string; alerts: { kind: string; text: string }[] }

export interface Task {
  id: number; state: string; window: string; call_state: string; calls: number; review_first: boolean
  reviewed_by_name: string; reviewed_at: string | null; review_note: string; answered_by_name: string; answer: string
  picked_by_name: string; picked_at: string | null; checked_by_name: string; check: Check | null
}

export interface Prescription {
  id: number; number: string; kind: string; state: string; diagnosis: string; doctor_name: string; store_id: number
  issued_at: string; charged_at: string | null; dispensed_at: string | null; changed_by_name: string; insured: boolean
  task: Task | null
  person: { id: number; name: string; sex: string; birth_date: string | null; outpatient_no: string; allergies: string | null }
  lines: DrugLine[]
}

export const STATES: Record<string, { text: string; tone: 'good' | 'info' | 'done' | 'warn' }> = {
  issued: { text: '待收费', tone: 'warn' }, charged: { text: '待发药', tone: 'info' }, dispensed: { text: '已发药', tone: 'good' },
  cancelled: { text: '已作废', tone: 'done' }, refunded: { text: '已退费', tone: 'done' },
}

export const TASKS: Record<string, { text: string; tone: 'good' | 'info' | 'done' | 'warn' | 'bad' }> = {
  waiting: { text: '待审', tone: 'warn' }, bounced: { text: '退回', tone: 'bad' }, reviewed: { text: '待配', tone: 'info' },
  picked: { text: '待核', tone: 'good' }, done: { text: '已发', tone: 'done' }, withdrawn: { text: '已退费', tone: 'done' },
}

export const RETURNS: Record<string, { text: string; tone: 'good' | 'info' | 'done' | 'warn' | 'bad' }> = {
  requested: { text: '待审核', tone: 'warn' }, approved: { text: '待收药', tone: 'info' }, declined: { text: '不同意', tone: 'bad' },
  taken: { text: '待退费', tone: 'good' }, refunded: { text: '已退费', tone: 'done' }, cancelled: { text: '已撤回', tone: 'done' },
}

/** A drug trace code as a scanner types it: 20 digits, or another kind that is no prescription number. */
export const isTraceCode = (text: string): boolean => /^\d{16,100}$/.test(text) || (text.length > 20 && !/^CF\d+$/.test(text))
