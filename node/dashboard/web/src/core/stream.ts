// Bytes that go on: watches and logs, each over a WebSocket, because a browser keeps only six plain connections.
import { socket } from './session.svelte'

/** Reads text as it comes. `ended` is called once, unless `close` was. Returns `close`. */
export function follow(path: string, on: { text: (text: string) => void; ended: (failed: boolean) => void }, accept?: string) {
  const opened = socket(path, ['binary.k8s.io'], accept)
  const decoder = new TextDecoder()
  let closed = false
  opened.onmessage = (message: MessageEvent<ArrayBuffer>) => {
    if (message.data.byteLength > 0) on.text(decoder.decode(message.data, { stream: true }))
  }
  opened.onclose = event => {
    if (!closed) on.ended(event.code !== 1000)
    closed = true
  }
  return () => {
    closed = true
    opened.close()
  }
}

/** Cuts text that comes in pieces into lines. */
export function lines(each: (line: string) => void): (text: string) => void {
  let rest = ''
  return text => {
    const parts = (rest + text).split('\n')
    rest = parts.pop() ?? ''
    for (const part of parts) each(part)
  }
}
