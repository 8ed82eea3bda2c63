/** Which pharmacy this person works in: asked once, remembered per user on this workstation. */
import { computed, ref, type ComputedRef, type Ref } from 'vue'
import { api, asApiError, type ApiError } from '@/lib/api'
import { session } from '@/lib/session'

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

export function useStore(): StoreChoice {
  const key = `his.pharmacy.store.${session.value?.user.id ?? 0}`
  const stores = ref<Store[]>([])
  const store = ref<number | null>(null)
  const error = ref<ApiError | null>(null)

  function choose(id: string | number | null): void {
    store.value = id === null ? null : Number(id)
    if (store.value !== null) localStorage.setItem(key, String(store.value))
  }

  async function load(): Promise<void> {
    try {
      stores.value = (await api.get<{ items: Store[] }>('outpatient-pharmacy/stores')).items
      error.value = null
      const before = Number(localStorage.getItem(key))
      store.value = (stores.value.find((one) => one.id === before) ?? stores.value.find((one) => one.kind === 'outpatient') ?? stores.value[0])?.id ?? null
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

export interface BatchLine { lot_no: string; expiry: string; quantity: string; quantity_text: string; returned: boolean }

export interface DrugLine {
  id: number; drug_id: number; name: string; spec: string; dose: string; dose_unit: string; usage: string; frequency: string
  days: number; quantity: string; quantity_text: string; unit: string; factor: string; amount: string; note: string
  returnable: string; returnable_units: string; returnable_text: string; refunded: string; batches: BatchLine[]
}

export interface Prescription {
  id: number; number: string; kind: string; state: string; diagnosis: string; doctor_name: string; store_id: number
  issued_at: string; charged_at: string | null; dispensed_at: string | null; changed_by_name: string
  person: { id: number; name: string; sex: string; birth_date: string | null; outpatient_no: string; allergies: string | null }
  lines: DrugLine[]
}

export const STATES: Record<string, { text: string; tone: 'good' | 'info' | 'done' | 'warn' }> = {
  issued: { text: '待收费', tone: 'warn' }, charged: { text: '待发药', tone: 'info' }, dispensed: { text: '已发药', tone: 'good' },
  cancelled: { text: '已作废', tone: 'done' }, refunded: { text: '已退费', tone: 'done' },
}
