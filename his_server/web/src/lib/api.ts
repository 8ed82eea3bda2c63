/** The one way to talk to the server: CSRF, idempotency, lost answers, one error class. */
import { uuid } from './ids'
import type { ErrorBody, FieldError, Page } from './types'

export class ApiError extends Error {
  readonly code: string
  readonly status: number
  readonly errors: FieldError[]
  readonly traceId: string
  /** The request may or may not have been carried out: ask again with the same key, never with a new one. */
  readonly unknown: boolean

  constructor(body: ErrorBody, unknown = false) {
    super(body.message)
    this.name = 'ApiError'
    this.code = body.code
    this.status = body.status
    this.errors = body.errors ?? []
    this.traceId = body.trace_id ?? ''
    this.unknown = unknown
  }

  /** Message for a field of the sent body, or ''. */
  field(name: string): string {
    return this.errors.find((error) => error.field === name)?.message ?? ''
  }
}

export interface Options {
  query?: Record<string, unknown>
  signal?: AbortSignal
  /** Idempotency-Key. Needed on every POST that makes value; `useSubmission` keeps it for you. */
  key?: string
  /** Milliseconds until an answer counts as lost (30,000 unless told). */
  timeout?: number
  /** Department in whose name the call is made, when the page has a switch. */
  headers?: Record<string, string>
}

interface Hooks {
  csrf: () => string
  signedOut: () => void
  online: (reachable: boolean) => void
}

const hooks: Hooks = { csrf: () => '', signedOut: () => undefined, online: () => undefined }

/** The session store plugs itself in here; keeps this file free of state. */
export function connect(parts: Partial<Hooks>): void {
  Object.assign(hooks, parts)
}

/** "/api/x?a=1&b=2"; empty values are left out, lists repeat the name. */
export function address(path: string, query?: Record<string, unknown>): string {
  const url = path.startsWith('/') ? path : `/api/${path}`
  if (!query) return url
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== '') search.append(name, String(one))
    }
  }
  const text = search.toString()
  return text ? `${url}${url.includes('?') ? '&' : '?'}${text}` : url
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))
const RESEND_AFTER = [400, 1200, 3000]
const LOST = new Set([502, 503, 504])

async function errorOf(response: Response): Promise<ApiError> {
  const trace = response.headers.get('X-Request-ID') ?? ''
  try {
    const body = (await response.json()) as Partial<ErrorBody>
    if (body && typeof body.message === 'string') {
      return new ApiError({ code: 'unknown', trace_id: trace, ...body, status: response.status } as ErrorBody, body.code === 'steps.unfinished')
    }
  } catch {
    // Not our JSON: a proxy's page. The generic text below says what to do.
  }
  const text = response.status >= 500 ? '服务器暂时不能处理，请稍后重试；多次出现请联系信息科'
    : `请求未被接受（${response.status}），请刷新页面后重试`
  return new ApiError({ code: `http.${response.status}`, status: response.status, message: text, trace_id: trace })
}

function lostError(resendable: boolean): ApiError {
  return new ApiError({
    code: 'client.no_answer', status: 0,
    message: resendable
      ? '没有收到服务器的回答，本次操作可能已经成功。请再按一次：系统会先核对，不会重复收费'
      : '连接不上服务器，请检查网络后重试',
  }, resendable)
}

async function once(method: string, url: string, body: unknown, options: Options): Promise<Response> {
  const headers: Record<string, string> = { Accept: 'application/json', ...options.headers }
  if (method !== 'GET') headers['X-CSRF-Token'] = hooks.csrf()
  if (options.key) headers['Idempotency-Key'] = options.key
  if (body !== undefined) headers['Content-Type'] = 'application/json'
  const control = new AbortController()
  const stop = () => control.abort()
  options.signal?.addEventListener('abort', stop)
  const timer = setTimeout(stop, options.timeout ?? 30_000)
  try {
    return await fetch(url, {
      method, headers, credentials: 'same-origin', signal: control.signal, cache: 'no-store',
      body: body === undefined ? undefined : JSON.stringify(body),
    })
  } finally {
    clearTimeout(timer)
    options.signal?.removeEventListener('abort', stop)
  }
}

/**
 * Sends a request and gives the response when it is a success.
 * A lost answer (no connection, timeout, 502/503/504) is asked for again with the same key up to three times:
 * only for GET and for writes that carry an Idempotency-Key. Our own 503 is none, unless the database broke off.
 * Throws ApiError; an abort by the caller's signal throws DOMException "AbortError".
 */
export async function send(method: string, path: string, body?: unknown, options: Options = {}): Promise<Response> {
  const url = address(path, options.query)
  const repeatable = method === 'GET' || Boolean(options.key)
  for (let attempt = 0; ; attempt += 1) {
    let response: Response | null = null
    try {
      response = await once(method, url, body, options)
    } catch (error) {
      if (options.signal?.aborted) throw error
    }
    if (response?.ok) {
      hooks.online(true)
      return response
    }
    const error = response && await errorOf(response)
    if (response && error && !(LOST.has(response.status) && /^(http|database)\./.test(error.code))) {
      hooks.online(true)
      if (response.status === 401 && !url.startsWith('/api/session')) hooks.signedOut()
      throw error
    }
    if (!repeatable || attempt >= RESEND_AFTER.length) {
      hooks.online(response !== null)
      if (error && !options.key) throw error
      throw lostError(Boolean(options.key))
    }
    await pause(RESEND_AFTER[attempt])
    if (options.signal?.aborted) throw new DOMException('aborted', 'AbortError')
  }
}

async function json<T>(method: string, path: string, body?: unknown, options?: Options): Promise<T> {
  const response = await send(method, path, body, options)
  if (response.status === 204) return undefined as unknown as T
  const text = await response.text()
  return (text ? JSON.parse(text) : undefined) as T
}

export const api = {
  get: <T>(path: string, query?: Record<string, unknown>, options: Options = {}) =>
    json<T>('GET', path, undefined, { ...options, query: { ...options.query, ...query } }),
  post: <T>(path: string, body?: unknown, options?: Options) => json<T>('POST', path, body ?? {}, options),
  put: <T>(path: string, body?: unknown, options?: Options) => json<T>('PUT', path, body ?? {}, options),
  patch: <T>(path: string, body?: unknown, options?: Options) => json<T>('PATCH', path, body ?? {}, options),
  delete: <T = void>(path: string, options?: Options) => json<T>('DELETE', path, undefined, options),

  /** Every item of a keyset-paged list, at most `limit`. For a growing table use DataTable's load-more instead. */
  async all<T>(path: string, query: Record<string, unknown> = {}, limit = 2000): Promise<T[]> {
    const items: T[] = []
    let cursor: string | null = null
    do {
      const page: Page<T> = await api.get<Page<T>>(path, { ...query, cursor })
      items.push(...page.items)
      cursor = page.next
    } while (cursor && items.length < limit)
    return items
  },

  /** Downloads a file that the server makes; the name comes from Content-Disposition. */
  async download(path: string, query?: Record<string, unknown>): Promise<void> {
    const response = await send('GET', path, undefined, { query, timeout: 300_000, headers: { Accept: '*/*' } })
    const name = fileName(response.headers.get('Content-Disposition')) || '导出文件'
    saveBlob(await response.blob(), name)
  },
}

/** File name in a Content-Disposition header (RFC 6266, filename* first), or ''. */
export function fileName(header: string | null): string {
  if (!header) return ''
  const extended = /filename\*=(?:UTF-8|utf-8)''([^;]+)/.exec(header)
  if (extended) return decodeURIComponent(extended[1].trim())
  return /filename="?([^";]+)"?/.exec(header)?.[1] ?? ''
}

export function saveBlob(blob: Blob, name: string): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(blob)
  link.download = name
  document.body.appendChild(link)
  link.click()
  link.remove()
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}

/** A fresh Idempotency-Key. */
export const newKey = uuid

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError'
}

/** Any thrown thing as an ApiError, so that ErrorNote can show it. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error
  console.error(error)
  const detail = error instanceof Error ? error.message : String(error)
  return new ApiError({ code: 'client.error', status: 0, message: `页面出错：${detail}。请刷新页面；再次出现请联系信息科` })
}
