/** Which store this person works in, and which classes of drugs are shown: both remembered per person (M7.6). */
import { computed, ref, type ComputedRef, type Ref } from 'vue'
import { api, asApiError, type ApiError } from '@/lib/api'
import { usePreference } from '@/lib/preferences'
import { session } from '@/lib/session'

export interface Store { id: number; code: string; name: string; kind: string }

/** Western and Chinese patent drugs are chosen unless this person chose otherwise. */
export const USUAL = '09,11'
export const CLASSES = [
  { value: USUAL, label: '西药＋中成药' }, { value: '09', label: '西药' }, { value: '11', label: '中成药' },
  { value: '10', label: '中药饮片' }, { value: '09,10,11', label: '全部类别' },
]

export interface StoreChoice {
  stores: Ref<Store[]>
  store: Ref<number | null>
  options: ComputedRef<{ value: number; label: string }[]>
  error: Ref<ApiError | null>
  nameOf: (id: number | null) => string
  choose: (id: string | number | null) => void
  load: () => Promise<void>
}

export function useStores(): StoreChoice {
  const kept = usePreference('stock.store', '')
  const stores = ref<Store[]>([])
  const store = ref<number | null>(null)
  const error = ref<ApiError | null>(null)

  function choose(id: string | number | null): void {
    store.value = id === null || id === '' ? null : Number(id)
    if (store.value !== null) kept.value.value = String(store.value)
  }

  async function load(): Promise<void> {
    try {
      stores.value = (await api.get<{ items: Store[] }>('stock/stores')).items
      await kept.ready
      error.value = null
      const wanted = session.value?.user.roles?.includes('warehouse') ? 'warehouse' : 'outpatient'
      store.value = (stores.value.find((one) => String(one.id) === kept.value.value) ?? stores.value.find((one) => one.kind === wanted) ?? stores.value[0])?.id ?? null
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

export function useClasses(): Ref<string> {
  return usePreference('stock.categories', USUAL).value
}
