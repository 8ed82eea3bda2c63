import { computed, reactive } from 'vue'
import { sm2 } from 'sm-crypto-v2'
import { api, ApiError, connect } from './api'
import type { MenuSection, Session } from './types'

export type Stage = 'starting' | 'signed-out' | 'second-factor' | 'change-password' | 'signed-in' | 'locked' | 'unreachable'

interface State {
  stage: Stage
  session: Session | null
  /** Login name, kept while locked. */
  login: string
  ticket: string
  reachable: boolean
  /** Why the lock or sign-in page is shown. */
  reason: string
}

export const state = reactive<State>({
  stage: 'starting', session: null, login: '', ticket: '', reachable: true, reason: '',
})

export const session = computed(() => state.session)

/** Whether the signed-in person holds the permission. The server checks again. */
export function can(permission: string | undefined): boolean {
  if (!permission) return true
  return Boolean(state.session?.permissions.includes(permission))
}

type SignInAnswer = Partial<Session> & { second_factor?: boolean; must_change_password?: boolean; ticket?: string }

/** The first nine tasks get Alt+1 … Alt+9 where the server gives none, so that each workstation has them at hand. */
export function withKeys(menu: MenuSection[]): MenuSection[] {
  const items = menu.flatMap((section) => section.items).filter((item) => !item.hidden)
  const taken = new Set(items.map((item) => item.key))
  const free = Array.from('123456789', (digit) => `Alt+${digit}`).filter((key) => !taken.has(key))
  const given = new Map<string, string>()
  for (const item of items) {
    const key = item.key ?? free.shift()
    if (key) given.set(item.path, key)
  }
  return menu.map((section) => ({ ...section, items: section.items.map((item) => ({ ...item, key: given.get(item.path) })) }))
}

function accept(answer: SignInAnswer): void {
  if (answer.second_factor) {
    state.ticket = answer.ticket ?? ''
    state.stage = 'second-factor'
    return
  }
  if (answer.must_change_password) {
    state.ticket = answer.ticket ?? ''
    if (answer.csrf) state.session = { ...(state.session as Session), csrf: answer.csrf }
    state.stage = 'change-password'
    return
  }
  const fresh = answer as Session
  // Somebody else at a locked workstation: nothing of the first person's work stays on screen.
  if (state.session?.user && state.session.user.id !== fresh.user.id) {
    window.location.assign('/')
    return
  }
  state.session = { ...fresh, menu: withKeys(fresh.menu) }
  state.login = state.login || fresh.user.code
  state.reason = ''
  state.ticket = ''
  state.stage = 'signed-in'
}

/** SM2 C1C3C2 ciphertext (hex, C1 without its 04 prefix, as crypto/codecs.py keeps it) of JSON under the server's public key (64 bytes, hex). */
export function seal(publicKey: string, content: object): string {
  const key = publicKey.length === 128 ? `04${publicKey}` : publicKey
  return sm2.doEncrypt(JSON.stringify(content), key, 1)
}

interface Challenge {
  nonce: string
  public_key: string
  kid: string
}

async function sealed(content: object): Promise<{ kid: string; sealed: string }> {
  const challenge = await api.get<Challenge>('session/challenge')
  return { kid: challenge.kid, sealed: seal(challenge.public_key, { nonce: challenge.nonce, ...content }) }
}

/** Asks who we are; called at start. */
export async function restore(): Promise<void> {
  try {
    accept(await api.get<SignInAnswer>('session'))
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) state.stage = 'signed-out'
    else {
      state.stage = 'unreachable'
      state.reason = error instanceof Error ? error.message : ''
    }
  }
}

export async function signIn(login: string, password: string): Promise<void> {
  state.login = login
  accept(await api.post<SignInAnswer>('session', { login, ...(await sealed({ password })) }))
}

export async function secondFactor(code: string): Promise<void> {
  accept(await api.post<SignInAnswer>('session/second-factor', { ticket: state.ticket, code }))
}

export async function changePassword(oldPassword: string, newPassword: string): Promise<void> {
  const body = await sealed({ old_password: oldPassword, new_password: newPassword, password: newPassword })
  accept(await api.post<SignInAnswer>('session/password', { login: state.login, ticket: state.ticket || undefined, ...body }))
}

export async function signOut(): Promise<void> {
  try {
    await api.delete('session')
  } finally {
    window.location.assign('/')
  }
}

/** Locks: the server's session ends too, what is on the pages stays in memory behind the lock. */
export function lock(reason: string): void {
  if (state.stage !== 'signed-in') return
  state.reason = reason
  state.stage = 'locked'
  api.delete('session').catch((error: unknown) => {
    // 401: had ended already. Anything else: the server's own idle limit ends it.
    if (!(error instanceof ApiError)) console.error(error)
  })
}

connect({
  csrf: () => state.session?.csrf ?? '',
  signedOut: () => {
    if (state.stage === 'signed-in') {
      state.reason = '登录已超时，请重新输入密码，页面内容会保留'
      state.stage = 'locked'
    }
  },
  online: (reachable) => (state.reachable = reachable),
})

const ACTIVE = 'his.active'

/** Watches for idleness; activity in any browser tab of this workstation counts. */
export function watchIdle(): void {
  let noted = 0
  const note = () => {
    const now = Date.now()
    if (now - noted < 5000) return
    noted = now
    localStorage.setItem(ACTIVE, String(now))
  }
  for (const kind of ['keydown', 'pointerdown', 'wheel']) window.addEventListener(kind, note, { passive: true, capture: true })
  note()
  window.setInterval(() => {
    const limit = (state.session?.idle_seconds ?? 0) * 1000
    if (!limit || state.stage !== 'signed-in') return
    const last = Math.max(noted, Number(localStorage.getItem(ACTIVE) ?? 0))
    if (Date.now() - last > limit) lock('长时间没有操作，已锁定')
  }, 5000)
}
