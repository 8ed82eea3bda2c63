import { onBeforeUnmount, ref, shallowRef, type Ref, type ShallowRef } from 'vue'
import { ApiError, asApiError, isAbort, newKey } from './api'
import type { Page, Row } from './types'

export interface Submission<A extends unknown[], R> {
  busy: Ref<boolean>
  error: ShallowRef<ApiError | null>
  /** Runs once at a time; a second press while busy does nothing and gives undefined. */
  run: (...args: A) => Promise<R | undefined>
  reset: () => void
  /** The next press is an attempt of its own: this one was answered, although its action throws. */
  renew: () => void
}

/**
 * A value-making action. It holds the Idempotency-Key: the same key is sent until it has succeeded, so pressing again after a
 * lost answer can't charge twice (M1.7), and what a refusal left half done (the insurer's part) is gone on with.
 * Errors land in `error`, never thrown; the page keeps what was typed.
 */
export function useSubmission<A extends unknown[], R>(action: (key: string, ...args: A) => Promise<R>): Submission<A, R> {
  const busy = ref(false)
  const error = shallowRef<ApiError | null>(null)
  let key = newKey()

  async function run(...args: A): Promise<R | undefined> {
    if (busy.value) return undefined
    busy.value = true
    error.value = null
    try {
      const result = await action(key, ...args)
      key = newKey()
      return result
    } catch (thrown) {
      error.value = asApiError(thrown)
      if (error.value.code === 'idempotency.reused') {
        error.value = new ApiError({ ...error.value, message: '上一次提交（内容不同）已经成功。请先查询核对，确有需要再重新提交', trace_id: error.value.traceId })
        key = newKey()
      }
      return undefined
    } finally {
      busy.value = false
    }
  }

  return { busy, error, run, reset: () => (error.value = null), renew: () => (key = newKey()) }
}

export interface Loader<T, A extends unknown[]> {
  data: ShallowRef<T | null>
  loading: Ref<boolean>
  error: ShallowRef<ApiError | null>
  load: (...args: A) => Promise<T | null>
}

/** A read that can be started again at any time: the newest call wins, older ones are aborted. */
export function useLoader<T, A extends unknown[]>(read: (signal: AbortSignal, ...args: A) => Promise<T>): Loader<T, A> {
  const data = shallowRef<T | null>(null)
  const loading = ref(false)
  const error = shallowRef<ApiError | null>(null)
  let control: AbortController | null = null

  async function load(...args: A): Promise<T | null> {
    control?.abort()
    const mine = new AbortController()
    control = mine
    loading.value = true
    try {
      const result = await read(mine.signal, ...args)
      if (control !== mine) return null
      data.value = result
      error.value = null
      return result
    } catch (thrown) {
      if (control === mine && !isAbort(thrown)) error.value = asApiError(thrown)
      return null
    } finally {
      if (control === mine) loading.value = false
    }
  }

  onBeforeUnmount(() => control?.abort())
  return { data, loading, error, load }
}

export interface Pages<P> {
  list: Loader<P, [string | null]>
  rows: Ref<Row[]>
  /** Where the next page begins; null: all rows are here. */
  next: Ref<string | null>
  /** The row that is looked at: stays while it is found again, else the first. */
  current: Ref<string | number | null>
  find: () => Promise<void>
  more: () => Promise<void>
}

/** A list that is read page by page: `find` begins anew, `more` adds the next page. */
export function usePages<P extends Page<Row>>(read: (signal: AbortSignal, after: string | null) => Promise<P>): Pages<P> {
  const list = useLoader(read)
  const rows = ref<Row[]>([])
  const next = ref<string | null>(null)
  const current = ref<string | number | null>(null)

  async function find(): Promise<void> {
    const page = await list.load(null)
    if (!page) return
    rows.value = page.items
    next.value = page.next
    if (!page.items.some((one) => one.id === current.value)) current.value = page.items[0]?.id ?? null
  }

  async function more(): Promise<void> {
    if (!next.value || list.loading.value) return
    const page = await list.load(next.value)
    if (!page) return
    rows.value = [...rows.value, ...page.items]
    next.value = page.next
  }

  return { list, rows, next, current, find, more }
}
