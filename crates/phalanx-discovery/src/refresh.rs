//! How often a strategy looks.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How often a strategy looks while the cluster is not formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// Again and again, with this pause.
    Every(Duration),
    /// Once, and then only where the strategy itself says that something has changed; a look-up that fails is repeated
    /// until one succeeds.
    Once,
}

/// Why a text is not a [`Refresh`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no refresh interval: write 500ms, 5s, 2m, up to a day, or infinity")]
pub struct RefreshError(String);

impl Refresh {
    /// The shortest pause: a strategy is somebody else's server.
    pub const PAUSE_MIN: Duration = Duration::from_millis(100);
    /// The longest: who wants more wants `infinity`.
    pub const PAUSE_MAX: Duration = Duration::from_secs(24 * 3_600);
}

impl Default for Refresh {
    /// Every five seconds.
    fn default() -> Self {
        Self::Every(Duration::from_secs(5))
    }
}

impl FromStr for Refresh {
    type Err = RefreshError;

    fn from_str(text: &str) -> Result<Self, RefreshError> {
        let wrong = || RefreshError(text.chars().take(40).collect());
        if text == "infinity" {
            return Ok(Self::Once);
        }
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong()),
        };
        let pause = Duration::from_millis(number.checked_mul(unit_ms).ok_or_else(wrong)?);
        if (Self::PAUSE_MIN..=Self::PAUSE_MAX).contains(&pause) {
            Ok(Self::Every(pause))
        } else {
            Err(wrong())
        }
    }
}

impl fmt::Display for Refresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Once => f.pad("infinity"),
            Self::Every(pause) if pause.subsec_millis() == 0 => f.pad(&format!("{}s", pause.as_secs())),
            Self::Every(pause) => f.pad(&format!("{}ms", pause.as_millis())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_and_printed() {
        for (text, printed) in
            [("5s", "5s"), ("1500ms", "1500ms"), ("2m", "120s"), ("24h", "86400s"), ("infinity", "infinity")]
        {
            assert_eq!(text.parse::<Refresh>().unwrap().to_string(), printed);
        }
        for wrong in ["", "5", "s", "-5s", "5 s", "0s", "99ms", "25h", "99999999999999999h", "Infinity"] {
            assert!(wrong.parse::<Refresh>().is_err(), "{wrong}");
        }
    }
}
