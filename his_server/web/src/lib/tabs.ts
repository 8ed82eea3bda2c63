/** The open tasks: one tab per path, kept alive so that nothing typed is lost by looking elsewhere. */
import { computed, reactive } from 'vue'
import type { RouteLocationNormalizedLoaded } from 'vue-router'
import { hasPage } from '@/pages'
import { router } from '@/router'
import { state } from './session'
import type { MenuItem } from './types'

export interface Tab {
  /** Full path: the same page may be open twice with different queries. */
  path: string
  title: string
  page: string
  query: Record<string, string>
  /** Counts up to throw the kept page away and make it new. */
  version: number
}

const LIMIT = 12
export const tabs = reactive<{ open: Tab[]; current: string }>({ open: [], current: '' })

export const menuItems = computed<MenuItem[]>(() => (state.session?.menu ?? []).flatMap((section) => section.items))
export const currentTab = computed(() => tabs.open.find((tab) => tab.path === tabs.current) ?? null)

function itemOf(path: string): MenuItem | null {
  const item = menuItems.value.find((one) => one.path === path)
  if (item) return item
  // Pages outside the menu (details): /p/<page name>?…
  if (path.startsWith('/p/') && hasPage(path.slice(3))) return { title: '详情', path, page: path.slice(3) }
  return null
}

/** Makes the route's tab the current one. False when the path leads nowhere for this person. */
export function showRoute(route: RouteLocationNormalizedLoaded): boolean {
  const item = itemOf(route.path)
  if (!item) {
    tabs.current = ''
    return false
  }
  const path = route.fullPath
  if (!tabs.open.some((tab) => tab.path === path)) {
    const query = Object.fromEntries(Object.entries(route.query).map(([key, value]) => [key, String(value ?? '')]))
    tabs.open.push({ path, title: query.title || item.title, page: item.page, query, version: 0 })
    if (tabs.open.length > LIMIT) tabs.open.splice(0, 1)
  }
  tabs.current = path
  return true
}

/** Opens a path of the menu, or a page by name with parameters: openPage('kernel/patients/detail', {id: 1}, '张三'). */
export function openPage(target: string, query: Record<string, unknown> = {}, title = ''): void {
  const item = menuItems.value.find((one) => one.page === target || one.path === target)
  const path = item ? item.path : target.startsWith('/') ? target : `/p/${target}`
  const all: Record<string, string> = {}
  for (const [key, value] of Object.entries(query)) if (value !== undefined && value !== null) all[key] = String(value)
  if (title) all.title = title
  void router.push({ path, query: all })
}

export function closeTab(path: string): void {
  const place = tabs.open.findIndex((tab) => tab.path === path)
  if (place < 0) return
  tabs.open.splice(place, 1)
  if (tabs.current === path) void router.push(tabs.open[Math.max(0, place - 1)]?.path ?? '/')
}

export function renewTab(path: string): void {
  const tab = tabs.open.find((one) => one.path === path)
  if (tab) tab.version += 1
}

export function stepTab(step: number): void {
  const place = tabs.open.findIndex((tab) => tab.path === tabs.current)
  const count = tabs.open.length
  if (count) void router.push(tabs.open[(Math.max(place, 0) + step + count) % count].path)
}
