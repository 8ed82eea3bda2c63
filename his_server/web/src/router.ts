import { createRouter, createWebHistory } from 'vue-router'
import { h } from 'vue'

// What a path shows is decided by the shell's tabs from the session's menu, not by a static table.
const nothing = { render: () => h('div') }

export const router = createRouter({
  history: createWebHistory(),
  routes: [{ path: '/:path(.*)*', component: nothing }],
})
