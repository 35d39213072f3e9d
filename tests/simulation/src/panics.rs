//! What panics, also where the code under test catches it: the batch loop holds a panic to its record and has it delivered
//! again, so that a handler that panics now and then would go unnoticed.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// What panicked on this thread, while somebody listens.
    static HEARD: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Runs something to its end, and says what panicked meanwhile. Without an outcome when it was itself what panicked.
pub(crate) fn listen<T>(work: impl FnOnce() -> T) -> (Option<T>, Vec<String>) {
    hear();
    HEARD.set(Some(vec![]));
    let outcome = catch_unwind(AssertUnwindSafe(work));
    (outcome.ok(), HEARD.take().unwrap_or_default())
}

/// While nobody listens, panics are told as before.
fn hear() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let tell = take_hook();
        set_hook(Box::new(move |panic| {
            let is_heard = HEARD.with_borrow_mut(|heard| match heard {
                Some(heard) => {
                    heard.push(panic.to_string().replace('\n', " "));
                    true
                }
                None => false,
            });
            if !is_heard {
                tell(panic);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_heard_whoever_catches_it() {
        assert_eq!(listen(|| 1), (Some(1), vec![]));
        let (outcome, heard) = listen(|| catch_unwind(|| panic!("caught")).is_err());
        assert_eq!(outcome, Some(true));
        assert!(heard.len() == 1 && heard[0].ends_with("caught"), "{heard:?}");
        let (outcome, heard) = listen(|| -> u8 { panic!("not caught") });
        assert_eq!((outcome, heard.len()), (None, 1));
    }
}
