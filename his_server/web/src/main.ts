import './lib/polyfills'
import './styles/tokens.css'
import './styles/base.css'
import { createApp } from 'vue'
import App from './App.vue'
import { autofocus, enterNext, startKeys } from './lib/keys'
import { restore, watchIdle } from './lib/session'
import { toast } from './lib/toast'
import { asApiError, isAbort } from './lib/api'
import { router } from './router'

const app = createApp(App)
app.directive('enter-next', enterNext)
app.directive('autofocus', autofocus)
// What a page forgot to catch still gets told to the person, in our one style.
app.config.errorHandler = (error) => {
  if (!isAbort(error)) toast.error(asApiError(error))
}
window.addEventListener('unhandledrejection', (event) => {
  event.preventDefault()
  if (!isAbort(event.reason)) toast.error(asApiError(event.reason))
})

startKeys()
watchIdle()
app.use(router)
restore().finally(() => app.mount('#app'))
