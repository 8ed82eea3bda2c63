import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import vue from '@vitejs/plugin-vue'
import Components from 'unplugin-vue-components/vite'
import { ElementPlusResolver } from 'unplugin-vue-components/resolvers'
import { defineConfig, type Plugin } from 'vite'

const web = dirname(fileURLToPath(import.meta.url))
const source = join(web, 'src')
const repository = resolve(web, '../..')

/** Pages live in modules/ and interfaces/, where no node_modules is near: resolve their packages from here. */
function packagesFromHere(): Plugin {
  const anchor = join(source, 'main.ts')
  return {
    name: 'his-packages-from-here',
    enforce: 'pre',
    async resolveId(id, importer, options) {
      const bare = /^@?[a-z][\w.-]*(\/|$)/.test(id) && !id.startsWith('@/')
      const outside = importer !== undefined && importer.startsWith('/') && !importer.startsWith(web)
      if (!bare || !outside) return null
      return this.resolve(id, anchor, { ...options, skipSelf: true })
    },
  }
}

export default defineConfig({
  root: web,
  base: '/',
  plugins: [
    packagesFromHere(),
    vue({ template: { compilerOptions: { hoistStatic: true } } }),
    Components({
      include: [/\.vue$/, /\.vue\?vue/],
      exclude: [/node_modules/],
      dirs: [],
      dts: false,
      resolvers: [ElementPlusResolver({ importStyle: 'css' })],
    }),
  ],
  define: { __HIS_DEMO__: JSON.stringify(process.env.HIS_WEB_DEMO === '1') },
  resolve: { alias: { '@': source }, dedupe: ['vue', 'vue-router', 'element-plus'] },
  build: {
    // The oldest domestic browser kernel seen is Chromium 83; one step lower costs nothing.
    target: 'chrome78',
    cssTarget: 'chrome78',
    outDir: process.env.HIS_WEB_OUT ?? join(web, 'dist'),
    emptyOutDir: true,
    manifest: true,
    // Inlined images would be data: URLs inside CSS; files cache better.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 900,
  },
  server: {
    fs: { allow: [repository] },
    proxy: { '/api': process.env.HIS_API ?? 'http://127.0.0.1:8000' },
  },
})

