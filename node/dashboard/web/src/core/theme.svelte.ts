// Light and dark: as the system has it, or as somebody chose.

const KEY = 'skerry.theme'
export type Choice = 'system' | 'light' | 'dark'

const dark = matchMedia('(prefers-color-scheme: dark)')

export const theme = $state({ choice: (localStorage.getItem(KEY) as Choice | null) ?? 'system', dark: dark.matches })

export function applyTheme(): void {
  theme.dark = theme.choice === 'system' ? dark.matches : theme.choice === 'dark'
  document.documentElement.dataset.theme = theme.dark ? 'dark' : 'light'
}

export function toggleTheme(): void {
  theme.choice = theme.dark ? 'light' : 'dark'
  if (theme.choice === (dark.matches ? 'dark' : 'light')) theme.choice = 'system'
  localStorage.setItem(KEY, theme.choice)
  applyTheme()
}

dark.addEventListener('change', applyTheme)
