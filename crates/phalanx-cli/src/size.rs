//! Sizes as people write them: `64KiB`, `1GiB`.

use std::fmt;
use std::str::FromStr;

/// What each step of a size is called, the smallest first.
const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size(pub(crate) u64);

/// Why a text is no size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SizeError;

impl fmt::Display for SizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no size: write bytes, or a whole number of KiB, MiB, GiB or TiB, such as 64KiB")
    }
}

impl std::error::Error for SizeError {}

impl FromStr for Size {
    type Err = SizeError;
    fn from_str(text: &str) -> Result<Self, SizeError> {
        let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        let number: u64 = text[..end].parse().map_err(|_| SizeError)?;
        let step = match text[end..].trim_start() {
            "" => 0,
            unit => UNITS.iter().position(|own| *own == unit).ok_or(SizeError)?,
        };
        number.checked_mul(1 << (10 * step)).map(Self).ok_or(SizeError)
    }
}

impl fmt::Display for Size {
    /// With one digit behind the point, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut step = 0;
        while step + 1 < UNITS.len() && self.0 >> (10 * (step + 1)) > 0 {
            step += 1;
        }
        match step {
            0 => write!(f, "{} B", self.0),
            _ => write!(f, "{:.1} {}", self.0 as f64 / (1_u64 << (10 * step)) as f64, UNITS[step]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        let read = |text: &str| text.parse::<Size>().map(|size| size.0);
        assert_eq!((read("0"), read("512"), read("64KiB")), (Ok(0), Ok(512), Ok(65_536)));
        assert_eq!((read("1 GiB"), read("2TiB")), (Ok(1 << 30), Ok(2 << 40)));
        for wrong in ["", "KiB", "1KB", "-1", "1.5MiB", "1 gib", "99999999999TiB", "18446744073709551616"] {
            assert_eq!(read(wrong), Err(SizeError), "{wrong}");
        }
        let shown = |bytes| Size(bytes).to_string();
        assert_eq!((shown(1_023).as_str(), shown(1_536).as_str()), ("1023 B", "1.5 KiB"));
        assert_eq!((shown(64 << 20).as_str(), shown(u64::MAX).as_str()), ("64.0 MiB", "16777216.0 TiB"));
    }
}
