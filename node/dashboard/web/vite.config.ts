// How the page is built: below /dashboard/, nothing inlined (the content security policy forbids it), each file
// compressed once, here, instead of at every request.
import { svelte } from '@sveltejs/vite-plugin-svelte'
import { readdirSync, readFileSync, statSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { defineConfig, type Plugin } from 'vite'

function compress(folder: string): void {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name)
    if (statSync(path).isDirectory()) compress(path)
    else {
      writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9 }))
      unlinkSync(path)
    }
  }
}

const compressed: Plugin = {
  name: 'compressed',
  apply: 'build',
  closeBundle: () => compress('dist')
}

export default defineConfig({
  base: '/dashboard/',
  plugins: [svelte(), compressed],
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 1000
  }
})
