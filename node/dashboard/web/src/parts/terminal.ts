// A terminal over `pods/exec`: xterm.js on the channels of a WebSocket (v5, else v4, `channel.k8s.io`).
import { FitAddon } from '@xterm/addon-fit'
import { Terminal } from '@xterm/xterm'
import '@xterm/xterm/css/xterm.css'
import { socket } from '../core/session.svelte'

const STDIN = 0
const STDOUT = 1
const STDERR = 2
const ERROR = 3
const RESIZE = 4

/** Makes xterm's two style elements sheets of the document, because the content security policy allows no others. */
function openWithSheets(terminal: Terminal, host: HTMLElement): void {
  const create = document.createElement.bind(document)
  document.createElement = ((name: string, options?: ElementCreationOptions) => {
    if (name !== 'style') return create(name, options)
    const sheet = new CSSStyleSheet()
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet]
    const stand = create('span')
    stand.hidden = true
    Object.defineProperty(stand, 'textContent', { set: (text: string) => sheet.replaceSync(text), get: () => '' })
    const remove = stand.remove.bind(stand)
    stand.remove = () => {
      document.adoptedStyleSheets = document.adoptedStyleSheets.filter(one => one !== sheet)
      remove()
    }
    return stand
  }) as typeof document.createElement
  try {
    terminal.open(host)
  } finally {
    document.createElement = create
  }
}

function colours(): Record<string, string> {
  const style = getComputedStyle(document.documentElement)
  const value = (name: string): string => style.getPropertyValue(name).trim()
  return {
    background: value('--sunk'), foreground: value('--text'), cursor: value('--accent'), selectionBackground: value('--line-strong'),
    red: value('--bad'), green: value('--good'), yellow: value('--warn'), blue: value('--busy'), cyan: value('--accent'),
    brightBlack: value('--faint')
  }
}

export interface Shell {
  focus(): void
  close(): void
}

/** Runs a shell in a container. `ended` is told how it went. */
export function shell(host: HTMLElement, target: { namespace: string; pod: string; container: string }, ended: (how: string) => void): Shell {
  const terminal = new Terminal({
    fontFamily: getComputedStyle(document.documentElement).getPropertyValue('--mono'),
    fontSize: 13,
    cursorBlink: false,
    scrollback: 5000,
    theme: colours()
  })
  const fit = new FitAddon()
  terminal.loadAddon(fit)
  openWithSheets(terminal, host)
  fit.fit()

  const query = new URLSearchParams({ container: target.container, stdin: 'true', stdout: 'true', stderr: 'false', tty: 'true' })
  for (const word of ['sh', '-c', 'TERM=xterm-256color; export TERM; exec "$(command -v bash || echo sh)"']) query.append('command', word)
  const path = `/api/v1/namespaces/${target.namespace}/pods/${target.pod}/exec?${query}`
  const connection = socket(path, ['v5.channel.k8s.io', 'v4.channel.k8s.io'])
  const text = new TextEncoder()
  let how = ''

  const send = (channel: number, bytes: Uint8Array): void => {
    if (connection.readyState !== WebSocket.OPEN) return
    const framed = new Uint8Array(bytes.length + 1)
    framed[0] = channel
    framed.set(bytes, 1)
    connection.send(framed)
  }
  const size = (): void => send(RESIZE, text.encode(JSON.stringify({ Width: terminal.cols, Height: terminal.rows })))
  connection.onopen = () => {
    size()
    terminal.focus()
  }
  connection.onmessage = (message: MessageEvent<ArrayBuffer>) => {
    const bytes = new Uint8Array(message.data)
    const rest = bytes.subarray(1)
    if (bytes[0] === STDOUT || bytes[0] === STDERR) terminal.write(rest)
    else if (bytes[0] === ERROR && rest.length > 0) {
      const status = JSON.parse(new TextDecoder().decode(rest))
      how = status.status === 'Success' ? 'The shell has ended.' : `The shell has ended: ${status.message}`
    }
  }
  connection.onclose = event => ended(how || (event.code === 1000 ? 'The shell has ended.' : 'The connection broke off, or the container has no shell.'))
  terminal.onData(data => send(STDIN, text.encode(data)))
  terminal.onBinary(data => send(STDIN, Uint8Array.from(data, c => c.charCodeAt(0))))
  terminal.onResize(size)
  const watch = new ResizeObserver(() => fit.fit())
  watch.observe(host)
  return {
    focus: () => terminal.focus(),
    close: () => {
      watch.disconnect()
      connection.onclose = null
      connection.close()
      terminal.dispose()
    }
  }
}
