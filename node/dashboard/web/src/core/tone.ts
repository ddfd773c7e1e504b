// What a word in a cell means: whether somebody should look there. Words are those of the API's own columns.

export type Tone = '' | 'good' | 'busy' | 'warn' | 'bad' | 'quiet'

const WORDS: Record<string, Tone> = {
  Running: 'good', Ready: 'good', Active: 'good', Bound: 'good', Available: 'good', Complete: 'good', True: 'good',
  Approved: 'good', Succeeded: 'quiet', Completed: 'quiet', Normal: 'quiet', Pending: 'warn', Warning: 'warn',
  ContainerCreating: 'busy', PodInitializing: 'busy', Terminating: 'busy', Released: 'warn', NotReady: 'bad',
  Failed: 'bad', Unknown: 'bad', Lost: 'bad', Evicted: 'bad', OOMKilled: 'bad', Error: 'bad', False: 'warn'
}

const STATES = new Set(['status', 'phase', 'type', 'condition'])

/** The tone of a cell by its column and text; none for most. */
export function toneOf(column: string, text: string): Tone {
  const name = column.toLowerCase()
  if (STATES.has(name)) {
    const word = text.split(/[,\s]/)[0] ?? ''
    if (WORDS[word]) return text.includes('SchedulingDisabled') ? 'warn' : (WORDS[word] ?? '')
    if (/BackOff|Err|Invalid|Failed|Crash|Unschedulable|Deadline/.test(text)) return 'bad'
    if (/^(Init|PodInit)/.test(text)) return 'busy'
    return ''
  }
  if (name === 'ready' || name === 'completions') {
    const [is, of] = text.split('/')
    return of !== undefined && is !== of && name === 'ready' ? 'warn' : ''
  }
  if (name === 'restarts') return parseInt(text) > 0 ? 'warn' : ''
  return ''
}
