import { inject, type InjectionKey } from 'vue'
import { closeTab, renewTab, type Tab } from './tabs'

export const TAB: InjectionKey<Tab> = Symbol('tab')

/** The page's own tab: its query (text values), and ways to rename, close or restart it. */
export function usePage(): { query: Record<string, string>; path: string; rename: (title: string) => void; close: () => void; restart: () => void } {
  const tab = inject(TAB, null)
  return {
    query: tab?.query ?? {},
    path: (tab?.path ?? '').split('?')[0],
    rename: (title) => {
      if (tab) tab.title = title
    },
    close: () => tab && closeTab(tab.path),
    restart: () => tab && renewTab(tab.path),
  }
}
