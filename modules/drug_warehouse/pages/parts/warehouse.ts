/** The warehouse that this person works for: the first one, or the one last chosen. */
import { computed, ref, type ComputedRef, type Ref } from 'vue'
import { api, asApiError, type ApiError } from '@/lib/api'
import { usePreference } from '@/lib/preferences'

interface Store { id: number; name: string; kind: string }

export function useWarehouse(): { store: Ref<number | null>; options: ComputedRef<{ value: number; label: string }[]>; error: Ref<ApiError | null>; choose: (id: string | number | null) => void; load: () => Promise<void> } {
  const kept = usePreference('drug_warehouse.store', '')
  const stores = ref<Store[]>([])
  const store = ref<number | null>(null)
  const error = ref<ApiError | null>(null)
  async function load(): Promise<void> {
    try {
      stores.value = (await api.get<{ items: Store[] }>('stock/stores')).items
      await kept.ready
      error.value = null
      store.value = (stores.value.find((one) => String(one.id) === kept.value.value) ?? stores.value.find((one) => one.kind === 'warehouse') ?? stores.value[0])?.id ?? null
    } catch (thrown) {
      error.value = asApiError(thrown)
    }
  }
  function choose(id: string | number | null): void {
    store.value = id === null ? null : Number(id)
    if (store.value !== null) kept.value.value = String(store.value)
  }
  return { store, error, choose, load, options: computed(() => stores.value.map((one) => ({ value: one.id, label: one.name }))) }
}
