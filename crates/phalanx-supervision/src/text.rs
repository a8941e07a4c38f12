//! Texts that come from tasks and stay in records: cut to what a record may hold.

/// The greatest length of a reason in bytes.
pub const REASON_BYTES_MAX: usize = 256;

/// How many of the last lines of an attempt are kept.
pub const LAST_LINES_MAX: usize = 50;

/// The greatest length of those lines together in bytes: five attempts of them are a sixth of what a record may have.
pub const LAST_LINES_BYTES_MAX: usize = 2 << 10;

/// The beginning of a text.
pub(crate) fn reason(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(REASON_BYTES_MAX));
    text
}

/// The last lines, as many as may be kept. Of a last line that is too long its beginning stays.
pub(crate) fn last_lines(mut lines: Vec<String>) -> Vec<String> {
    let mut bytes = 0;
    let fits = |line: &&String| {
        bytes += line.len() + 1;
        bytes <= LAST_LINES_BYTES_MAX
    };
    let kept = lines.iter().rev().take(LAST_LINES_MAX).take_while(fits).count();
    if kept == 0
        && let Some(mut last) = lines.pop()
    {
        last.truncate(last.floor_char_boundary(LAST_LINES_BYTES_MAX - 1));
        return vec![last];
    }
    lines.split_off(lines.len() - kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_kept_is_within_its_caps(lines in prop::collection::vec("[aä]{0,90}", 0..70), long in "[aö]{0,300}") {
            let kept = last_lines(lines.clone());
            prop_assert!(kept.len() <= LAST_LINES_MAX);
            prop_assert!(kept.iter().map(|line| line.len() + 1).sum::<usize>() <= LAST_LINES_BYTES_MAX);
            prop_assert!(lines.ends_with(&kept), "these lines are short enough to stay whole");
            prop_assert_eq!(kept.is_empty(), lines.is_empty());
            prop_assert!(long.starts_with(&reason(long.clone())));
        }
    }

    #[test]
    fn one_line_that_is_too_long_is_cut() {
        let kept = last_lines(vec!["x".repeat(9_000)]);
        assert_eq!((kept.len(), kept[0].len()), (1, LAST_LINES_BYTES_MAX - 1));
        assert_eq!(reason("ä".repeat(200)).len(), REASON_BYTES_MAX);
    }
}
