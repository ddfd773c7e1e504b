//! Tasks that must not end: a panic or an error in one is said and the part starts again.

use crate::console::Console;
use futures_util::FutureExt;
use std::io;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

/// The wait before a part that failed starts again: long enough that one which always fails does no harm.
const AGAIN_WAIT: Duration = Duration::from_secs(1);

/// Runs what `make` makes as a task of this thread, and again whenever it fails or panics; ends when it ends well.
pub fn keep_running<Made>(name: &'static str, console: Console, mut make: impl FnMut() -> Made + 'static)
where
    Made: Future<Output = io::Result<()>> + 'static,
{
    tokio::task::spawn_local(async move {
        loop {
            match AssertUnwindSafe(async { make().await }).catch_unwind().await {
                Ok(Ok(())) => return,
                Ok(Err(e)) => console.say(&format!("init: {name}: {e}; starting it again")),
                Err(panic) => {
                    let text = crate::boot::panic_text(panic.as_ref());
                    console.say(&format!("init: {name} panicked: {text}; starting it again"));
                }
            }
            tokio::time::sleep(AGAIN_WAIT).await;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    #[test]
    fn a_part_that_panics_or_fails_starts_again() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let runs = Rc::new(Cell::new(0));
        let seen = runs.clone();
        let tasks = tokio::task::LocalSet::new();
        tasks.spawn_local(async move {
            keep_running("part", Console::default(), move || {
                runs.set(runs.get() + 1);
                let run = runs.get();
                async move {
                    match run {
                        1 => panic!("a bug"),
                        2 => Err(io::Error::other("no luck")),
                        _ => Ok(()),
                    }
                }
            });
        });
        runtime.block_on(tasks);
        assert_eq!(seen.get(), 3);
    }
}
