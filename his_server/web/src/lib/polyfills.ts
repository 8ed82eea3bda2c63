/** What Chromium 78 to 92 lack and our libraries call. `build.target` lowers syntax, never these. */

function define(target: object, name: string, value: unknown): void {
  if (!(name in target)) Object.defineProperty(target, name, { value, writable: true, configurable: true })
}

function at<T>(this: ArrayLike<T>, index: number): T | undefined {
  const whole = Math.trunc(index) || 0
  return this[whole < 0 ? this.length + whole : whole]
}

define(Array.prototype, 'at', at)
define(String.prototype, 'at', at)
define(Uint8Array.prototype, 'at', at)

define(Array.prototype, 'findLast', function <T>(this: T[], test: (item: T, i: number, all: T[]) => boolean) {
  for (let i = this.length - 1; i >= 0; i -= 1) if (test(this[i], i, this)) return this[i]
  return undefined
})
define(Array.prototype, 'findLastIndex', function <T>(this: T[], test: (item: T, i: number, all: T[]) => boolean) {
  for (let i = this.length - 1; i >= 0; i -= 1) if (test(this[i], i, this)) return i
  return -1
})

define(String.prototype, 'replaceAll', function (this: string, search: string | RegExp, value: string) {
  if (search instanceof RegExp) return this.replace(search, value)
  return typeof value === 'function' ? this.split(search).reduce((a, b) => a + (value as (s: string) => string)(search) + b)
    : this.split(search).join(value)
})

define(Object, 'hasOwn', (target: object, key: PropertyKey) => Object.prototype.hasOwnProperty.call(target, key))

define(Promise, 'any', (promises: Iterable<unknown>) =>
  new Promise((resolve, reject) => {
    const all = Array.from(promises)
    const errors: unknown[] = []
    let left = all.length
    if (!left) reject(errors)
    all.forEach((one, i) =>
      Promise.resolve(one).then(resolve, (error) => {
        errors[i] = error
        left -= 1
        if (!left) reject(errors)
      }),
    )
  }),
)

if (!('WeakRef' in globalThis)) {
  // Chromium 83 has none. A strong reference leaks a little, but never lies.
  define(globalThis, 'WeakRef', class<T> {
    constructor(private readonly target: T) {}
    deref(): T {
      return this.target
    }
  })
}

if (!('structuredClone' in globalThis)) {
  define(globalThis, 'structuredClone', (value: unknown) => (value === undefined ? value : JSON.parse(JSON.stringify(value))))
}
