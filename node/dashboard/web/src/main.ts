// The beginning: a login that is in the address is used up before anything is shown.
import { mount } from 'svelte'
import App from './App.svelte'
import './app.css'
import { enter } from './core/session.svelte'
import { applyTheme } from './core/theme.svelte'

applyTheme()
await enter()
mount(App, { target: document.body })
