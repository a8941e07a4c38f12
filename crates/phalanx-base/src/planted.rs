//! Mistakes on purpose: by them the simulator proves that it would find others.
//!
//! They exist only in a build with `--cfg phalanx_planted`; a process of such a build makes the one that its environment
//! names, if any. In every other build [`planted!`](crate::planted) is the constant `false`.

use std::sync::OnceLock;

/// Which environment variable names the mistake.
const CHOICE: &str = "PHALANX_PLANTED";

/// Whether this process makes that mistake. Asked by [`planted!`](crate::planted) alone.
#[doc(hidden)]
#[must_use]
pub fn is_planted(name: &str) -> bool {
    static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var(CHOICE).ok()).as_deref() == Some(name)
}

/// Whether a mistake is to be made here: never, but in a build that is made to find it.
#[doc(hidden)]
#[macro_export]
macro_rules! planted {
    ($name:literal) => {
        ::core::cfg!(phalanx_planted) && $crate::is_planted($name)
    };
}
