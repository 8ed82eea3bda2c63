import { reactive } from 'vue'
import type { ApiError } from './api'

export interface Toast {
  id: number
  tone: 'good' | 'info' | 'warn' | 'bad'
  text: string
  detail?: string
  trace?: string
}

export const toasts = reactive<Toast[]>([])
let next = 1

function show(tone: Toast['tone'], text: string, detail?: string, trace?: string): void {
  const told = toasts.find((one) => one.tone === tone && one.text === text && one.detail === detail)
  if (told) dismiss(told.id) // said once more, not twice
  const toast: Toast = { id: next++, tone, text, detail, trace }
  toasts.push(toast)
  if (toasts.length > 4) toasts.shift()
  // Bad news stays until it is read.
  if (tone !== 'bad') setTimeout(() => dismiss(toast.id), tone === 'warn' ? 8000 : 4000)
}

export function dismiss(id: number): void {
  const place = toasts.findIndex((toast) => toast.id === id)
  if (place >= 0) toasts.splice(place, 1)
}

export const toast = {
  good: (text: string, detail?: string) => show('good', text, detail),
  info: (text: string, detail?: string) => show('info', text, detail),
  warn: (text: string, detail?: string) => show('warn', text, detail),
  bad: (text: string, detail?: string) => show('bad', text, detail),
  error: (error: ApiError) => show('bad', error.message, error.errors.map((one) => one.message).join('；') || undefined, error.traceId),
}
