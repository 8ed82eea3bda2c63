/** Every page file of the house, by the name that the menu uses. Each is its own lazy chunk. */
import { defineAsyncComponent, defineComponent, h, type Component } from 'vue'
import LoadFailed from './components/LoadFailed.vue'
import LoadingState from './components/LoadingState.vue'

type Load = () => Promise<unknown>

const files: Record<string, Load> = {
  ...import.meta.glob('../../../modules/**/pages/*.vue'),
  ...import.meta.glob('../../../interfaces/**/pages/*.vue'),
  ...import.meta.glob('../../*/pages/*.vue'),
  ...import.meta.glob('./pages/*.vue'),
  // The worked example, for `HIS_WEB_DEMO=1 vite build` on the mock only.
  ...(__HIS_DEMO__ ? import.meta.glob('../dev-mock/*.vue') : {}),
}

/**
 * modules/outpatient_billing/pages/cashier.vue → "outpatient_billing/cashier";
 * modules/kernel/patients/pages/list.vue → "kernel/patients/list";
 * interfaces/hub/pages/calls.vue → "interfaces/hub/calls"; his_server/security/pages/users.vue → "platform/security/users";
 * his_server/web/src/pages/report.vue → "web/report".
 */
export function pageName(file: string): string {
  const plain = file.replace(/\.vue$/, '').replace('/pages/', '/')
  if (plain.startsWith('../../../modules/')) return plain.slice('../../../modules/'.length)
  if (plain.startsWith('../../../interfaces/')) return `interfaces/${plain.slice('../../../interfaces/'.length)}`
  if (plain.startsWith('../dev-mock/')) return `demo/${plain.slice('../dev-mock/'.length)}`
  if (plain.startsWith('../../')) return `platform/${plain.slice('../../'.length)}`
  return `web/${plain.replace(/^\.\//, '')}`
}

const loaders = new Map<string, Load>()
for (const [file, load] of Object.entries(files)) loaders.set(pageName(file), load)

const made = new Map<string, Component>()

export function hasPage(name: string): boolean {
  return loaders.has(name)
}

/** The component of a page, wrapped so that each tab (full path) is kept alive on its own. */
export function pageComponent(name: string): Component | null {
  const load = loaders.get(name)
  if (!load) return null
  const known = made.get(name)
  if (known) return known
  const lazy = defineAsyncComponent({
    loader: load as () => Promise<Component>,
    loadingComponent: LoadingState,
    errorComponent: LoadFailed,
    delay: 150,
    timeout: 30_000,
  })
  const page = defineComponent({ name: `Page:${name}`, inheritAttrs: false, render: () => h(lazy) })
  made.set(name, page)
  return page
}
