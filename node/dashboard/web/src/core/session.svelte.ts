// Who is logged in, and every request to the server. The cookie half of the session is the browser's; the page's half
// is kept in storage of this origin, so that pages on other ports of the same address cannot have it.

const KEY = 'skerry.page'

export const session = $state({
  user: '',
  /** Why nobody is logged in; empty while somebody is. */
  ended: ''
})

let page = ''

/** A refusal of the API, in its words. */
export class Failure extends Error {
  constructor(
    readonly code: number,
    readonly reason: string,
    message: string,
    readonly causes: { field: string; message: string }[] = []
  ) {
    super(message)
  }
}

export interface Asked {
  method?: string
  accept?: string
  type?: string
  body?: string
  signal?: AbortSignal
}

async function failure(answer: Response): Promise<Failure> {
  const text = await answer.text()
  try {
    const status = JSON.parse(text)
    const causes = (status.details?.causes ?? []).map((c: { field?: string; message?: string }) => ({
      field: c.field ?? '',
      message: c.message ?? ''
    }))
    return new Failure(answer.status, status.reason ?? '', status.message ?? text, causes)
  } catch {
    return new Failure(answer.status, answer.statusText, text.trim() || `HTTP ${answer.status}`)
  }
}

/** Sends a request; anything but success is thrown as a `Failure`. */
export async function call(path: string, asked: Asked = {}): Promise<Response> {
  const headers: Record<string, string> = { accept: asked.accept ?? 'application/json' }
  if (page) headers['x-skerry-page'] = page
  if (asked.type) headers['content-type'] = asked.type
  let answer: Response
  try {
    answer = await fetch(path, { method: asked.method ?? 'GET', headers, body: asked.body, signal: asked.signal })
  } catch (why) {
    if (asked.signal?.aborted) throw why
    throw new Failure(0, 'Unreachable', 'The cluster does not answer. Is it running, and `skerry dashboard` with it?')
  }
  if (answer.ok) return answer
  const refused = await failure(answer)
  if (answer.status === 401) session.ended ||= refused.message
  throw refused
}

/** The same with a JSON answer. */
export async function json<T>(path: string, asked: Asked = {}): Promise<T> {
  return (await call(path, asked)).json()
}

function base64url(text: string): string {
  return btoa(text).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

/** A WebSocket with this session. Browsers can set no header on one, so what would be headers goes as protocols. */
export function socket(path: string, protocols: string[], accept?: string): WebSocket {
  const url = `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}${path}`
  const more = accept ? [`accept.dashboard.skerry.${base64url(accept)}`] : []
  const opened = new WebSocket(url, [...protocols, `page.dashboard.skerry.${page}`, ...more])
  opened.binaryType = 'arraybuffer'
  return opened
}

/** Uses the ticket of the address, or the session that this browser already has. */
export async function enter(): Promise<void> {
  const ticket = /^#ticket=([0-9a-f]+)$/.exec(location.hash)?.[1]
  // An earlier session may have ended; a login begins without it.
  page = ticket ? '' : (localStorage.getItem(KEY) ?? '')
  try {
    if (ticket) {
      // Gone from the address and the history before it is sent: it is good once.
      history.replaceState(null, '', location.pathname)
      const body = JSON.stringify({ ticket })
      const opened = await json<{ page: string; user: string }>('/dashboard/session', {
        method: 'POST',
        type: 'application/json',
        body
      })
      page = opened.page
      localStorage.setItem(KEY, page)
    }
    if (!page) throw new Failure(401, '', 'Nobody is logged in.')
    session.user = (await json<{ user: string }>('/dashboard/session')).user
    session.ended = ''
    keepAlive()
  } catch (why) {
    session.ended = why instanceof Error ? why.message : String(why)
  }
}

/** Ends the session here and in the server. */
export async function leave(): Promise<void> {
  try {
    await call('/dashboard/session', { method: 'DELETE' })
  } catch {
    // It had ended already, or nobody answers: either way this browser forgets it.
  }
  localStorage.removeItem(KEY)
  page = ''
  session.ended = 'You have logged out.'
}

/** How often a page that is looked at says so. The server ends sessions that are silent for half an hour. */
const ALIVE_EVERY_MS = 10 * 60 * 1000

function keepAlive(): void {
  setInterval(() => {
    if (document.visibilityState === 'visible' && !session.ended) call('/dashboard/session').catch(() => {})
  }, ALIVE_EVERY_MS)
}
