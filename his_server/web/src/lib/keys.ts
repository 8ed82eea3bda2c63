/** Declared shortcuts. A dialog's keys hide its page's; the page's come before the shell's. */
import {
  getCurrentInstance, inject, onActivated, onBeforeUnmount, onDeactivated, provide, ref, shallowReactive, toValue, watch,
  type InjectionKey, type MaybeRefOrGetter, type Ref,
} from 'vue'
import { misread } from './misread'

export interface Shortcut {
  /** "F8", "Ctrl+Enter", "Alt+N", "/", "?" . Letters alone are not allowed: people type. */
  key: string
  label: string
  run: (event: KeyboardEvent) => void
  when?: () => boolean
  /** Works while typing in a field. Function keys and Ctrl/Alt combinations always do. */
  typing?: boolean
  /** Not listed on the shortcuts sheet. */
  silent?: boolean
}

export type Level = 'shell' | 'page' | 'dialog'

/** One dialog. Of several open ones only the last opened hears keys. */
interface Layer {
  opened: number
  open: MaybeRefOrGetter<boolean>
}

interface Scope {
  level: Level
  layer: Layer | null
  title: string
  /** Not in the background (a kept-alive page in another tab is). */
  shown: Ref<boolean>
  keys: Shortcut[]
}

// The browser's own, or taken by the browser before the page sees them.
const FORBIDDEN = new Set(['F5', 'F11', 'F12', 'Ctrl+T', 'Ctrl+N', 'Ctrl+W', 'Ctrl+R', 'Ctrl+Tab', 'Alt+F4'])
const ORDER: Record<Level, number> = { shell: 0, page: 1, dialog: 2 }
const NAMES: Record<string, string> = { Escape: 'Esc', ' ': 'Space', ArrowUp: '↑', ArrowDown: '↓', ArrowLeft: '←', ArrowRight: '→' }

const scopes = shallowReactive<Scope[]>([])
const LAYER: InjectionKey<Layer> = Symbol('dialog')
let openings = 0

/** "Ctrl+Enter" from an event. Shift counts for named keys only ("?" already says it). */
export function keyName(event: KeyboardEvent): string {
  let key = NAMES[event.key] ?? event.key
  if (event.altKey && /^(Key|Digit)/.test(event.code)) key = event.code.replace(/^(Key|Digit)/, '')
  const single = key.length === 1
  if (single) key = key.toUpperCase()
  const parts: string[] = []
  if (event.ctrlKey || event.metaKey) parts.push('Ctrl')
  if (event.altKey) parts.push('Alt')
  if (event.shiftKey && !single) parts.push('Shift')
  return [...parts, key].join('+')
}

function typingIn(target: EventTarget | null): boolean {
  const element = target as HTMLElement | null
  return Boolean(element && (element.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName)))
}

/** Scopes that hear keys now, the nearest first: those of the last opened dialog, else the page's, then the shell's. */
function ordered(): Scope[] {
  const live = scopes.filter((scope) => scope.shown.value && (!scope.layer || toValue(scope.layer.open)))
  const top = live.reduce<Layer | null>((best, { layer }) => (layer && (!best || layer.opened > best.opened) ? layer : best), null)
  if (top) return live.filter((scope) => scope.layer === top).reverse()
  return live.map((scope, i) => ({ scope, i }))
    .sort((x, y) => ORDER[y.scope.level] - ORDER[x.scope.level] || y.i - x.i).map(({ scope }) => scope)
}

// Function keys and combinations are heard before any field or library takes them; Esc and the like after.
const STRONG = /^(F\d+$|Alt\+|Ctrl\+(?!Delete|Enter))/

function handle(event: KeyboardEvent, strong: boolean): void {
  if (event.defaultPrevented || event.isComposing || event.keyCode === 229 || event.repeat) return
  const name = keyName(event)
  if (STRONG.test(name) !== strong) return
  const typing = typingIn(event.target) && !/^(F\d+|Ctrl\+|Alt\+|Esc)/.test(name)
  for (const scope of ordered()) {
    for (let i = scope.keys.length - 1; i >= 0; i -= 1) {
      const shortcut = scope.keys[i]
      if (shortcut.key !== name || (typing && !shortcut.typing)) continue
      event.preventDefault()
      event.stopPropagation()
      if (!shortcut.when || shortcut.when()) shortcut.run(event)
      return
    }
  }
  // F1 would open the browser's help, F3/F6/F7… browser features: never by accident.
  if (/^F([1-4]|[6-9]|10)$/.test(name)) event.preventDefault()
}

/** Starts listening; called once by main.ts. */
export function startKeys(): void {
  window.addEventListener('keydown', (event) => handle(event, true), { capture: true })
  window.addEventListener('keydown', (event) => handle(event, false))
}

export function checkKey(key: string): string {
  if (FORBIDDEN.has(key)) throw new Error(`快捷键 ${key} 属于浏览器，不能使用`)
  if (/^[A-Z0-9]$/.test(key)) throw new Error(`快捷键 ${key} 会妨碍输入，请用功能键或 Alt 组合`)
  return key
}

function declare(level: Level, title: string, keys: Shortcut[], layer: Layer | null): void {
  if (!getCurrentInstance()) throw new Error('shortcuts are declared in setup()')
  keys.forEach((shortcut) => checkKey(shortcut.key))
  const scope: Scope = { level, layer, title, keys, shown: ref(true) }
  scopes.push(scope)
  onActivated(() => (scope.shown.value = true))
  onDeactivated(() => (scope.shown.value = false))
  onBeforeUnmount(() => {
    const place = scopes.indexOf(scope)
    if (place >= 0) scopes.splice(place, 1)
  })
}

/** Declares shortcuts for as long as the calling component is shown; inside a dialog they are the dialog's. */
export function useKeys(keys: Shortcut[], options: { level?: Level; title?: string } = {}): void {
  const layer = inject(LAYER, null)
  declare(layer ? 'dialog' : options.level ?? 'page', options.title ?? '', keys, layer)
}

/** A dialog: while `open` (and on top), its keys and those declared inside it are the only ones. */
export function useDialogKeys(open: MaybeRefOrGetter<boolean>, keys: Shortcut[], title = ''): void {
  const layer: Layer = { opened: 0, open }
  watch(() => toValue(open), (now) => {
    if (now) layer.opened = openings += 1
  }, { immediate: true, flush: 'sync' })
  provide(LAYER, layer)
  declare('dialog', title, keys, layer)
}

export interface SheetGroup {
  title: string
  keys: { key: string; label: string }[]
}

/** What the shortcuts sheet shows now. */
export function sheet(): SheetGroup[] {
  const groups: SheetGroup[] = []
  for (const scope of ordered()) {
    const title = scope.title || { shell: '全局', page: '本页', dialog: '对话框' }[scope.level]
    const keys = scope.keys.filter((key) => !key.silent && (!key.when || key.when())).map(({ key, label }) => ({ key, label }))
    if (!keys.length) continue
    const same = groups.find((group) => group.title === title)
    if (same) same.keys.push(...keys)
    else groups.push({ title, keys })
  }
  return groups
}

const FIELDS = 'input:not([type=hidden]):not([disabled]):not([readonly]),select:not([disabled]),textarea:not([disabled]),[data-enter-stop]:not([disabled])'

/** Fields of a container in order, that are shown and not skipped by data-enter="skip". */
export function fieldsOf(container: HTMLElement): HTMLElement[] {
  return Array.from(container.querySelectorAll<HTMLElement>(FIELDS))
    .filter((field) => field.dataset.enter !== 'skip' && field.tabIndex >= 0 && field.getClientRects().length > 0)
}

/** Moves to the next (or previous) field; at the end calls `done`. */
export function moveOn(container: HTMLElement, from: HTMLElement, step: 1 | -1 = 1, done?: () => void): void {
  const fields = fieldsOf(container)
  const place = fields.indexOf(from)
  const next = fields[place + step]
  if (next) {
    next.focus()
    if (next instanceof HTMLInputElement) next.select()
  } else if (step === 1) done?.()
}

/**
 * Directive `v-enter-next` on a form: Enter moves to the next field, Shift+Enter back; after the last one the
 * directive's function is called (`v-enter-next="submit"`). Buttons and textareas keep their own Enter.
 */
export const enterNext = {
  mounted(container: HTMLElement, binding: { value?: () => void }) {
    const state = container as HTMLElement & { enterDone?: () => void }
    state.enterDone = binding.value
    container.addEventListener('keydown', (event) => {
      const target = event.target as HTMLElement
      if (event.key !== 'Enter' || event.isComposing || event.keyCode === 229 || event.defaultPrevented) return
      if (event.ctrlKey || event.altKey || /^(BUTTON|TEXTAREA|A)$/.test(target.tagName)) return
      event.preventDefault()
      moveOn(container, target, event.shiftKey ? -1 : 1, () => !misread(target) && state.enterDone?.())
    })
  },
  updated(container: HTMLElement, binding: { value?: () => void }) {
    ;(container as HTMLElement & { enterDone?: () => void }).enterDone = binding.value
  },
}

/** Focus the first field inside once shown: `v-autofocus`. */
export const autofocus = {
  mounted(element: HTMLElement) {
    element.dataset.autofocus = '' // a dialog gives it the focus at once: an Enter in its first frame must not be lost
    requestAnimationFrame(() => (element.matches(`${FIELDS},button`) ? element : fieldsOf(element)[0])?.focus())
  },
}

/** The focus goes where a page's work begins: its first list, else its first field (`fields`); false when there is none yet. */
export function focusHome(page: HTMLElement, fields = true): boolean {
  const list = Array.from(page.querySelectorAll<HTMLElement>('.table-scroll[tabindex="0"]')).find((one) => one.getClientRects().length > 0)
  const home = list ?? (fields ? fieldsOf(page)[0] : undefined)
  home?.focus()
  return Boolean(home)
}

/** Move the focus to `to`, unless a person is typing on the page already: a list that arrives late takes nothing away. */
export function focusUnlessTyping(to: { focus: () => void } | null | undefined): void {
  const now = document.activeElement
  if (!(now?.matches('input, textarea, select') && now.closest('main'))) to?.focus()
}
