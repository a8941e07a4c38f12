//! Enough of Rust's grammar to know code from comments and from text.
//!
//! The rules look for words and braces; both mean nothing inside a comment or a literal. So these are replaced by
//! spaces, byte for byte, and every position stays what it was.

use std::ops::Range;

/// The text with every comment and every string and character literal blanked, lines and positions kept.
pub(super) fn blank_comments_and_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(next) = text[at..].chars().next() {
        match comment_or_literal_end(text.as_bytes(), at) {
            Some(end) => {
                code.extend(
                    text.as_bytes()[at..end].iter().map(|byte| if *byte == b'\n' { '\n' } else { ' ' }),
                );
                at = end;
            }
            None => {
                code.push(next);
                at += next.len_utf8();
            }
        }
    }
    code
}

/// Where `word` occurs in blanked code as a whole word: not as a part of a longer name.
pub(super) fn occurrences<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let after = code.as_bytes().get(at + word.len());
        !ends_in_name(code.as_bytes(), *at) && !after.is_some_and(|byte| is_name(*byte))
    })
}

/// The name that begins at `from` or after the white space there, if one does.
pub(super) fn name_at(code: &str, from: usize) -> Option<Range<usize>> {
    let start = from + (code[from..].len() - code[from..].trim_start().len());
    let length = code.as_bytes()[start..].iter().take_while(|byte| is_name(**byte)).count();
    (length > 0).then(|| start..start + length)
}

/// The position behind the bracket that closes the one at `open`, of whichever kind; the end if none does.
pub(super) fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// Whether a name goes on up to `at`.
fn ends_in_name(bytes: &[u8], at: usize) -> bool {
    at.checked_sub(1).and_then(|before| bytes.get(before)).is_some_and(|byte| is_name(*byte))
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Where the comment or literal ends that begins at `at`, if one does.
fn comment_or_literal_end(bytes: &[u8], at: usize) -> Option<usize> {
    match (bytes[at], bytes.get(at + 1)) {
        (b'/', Some(b'/')) => Some(find(bytes, at, |rest| rest.starts_with(b"\n"))),
        (b'/', Some(b'*')) => Some(block_comment_end(bytes, at)),
        (b'"', _) => Some(string_end(bytes, at + 1)),
        (b'\'', Some(_)) => character_end(bytes, at),
        (b'r' | b'b' | b'c', _) if !ends_in_name(bytes, at) => raw_string_end(bytes, at),
        _ => None,
    }
}

/// The first position from `at` on where the rest of the text is as asked for; the end if there is none.
fn find(bytes: &[u8], at: usize, wanted: impl Fn(&[u8]) -> bool) -> usize {
    (at..bytes.len()).find(|position| wanted(&bytes[*position..])).unwrap_or(bytes.len())
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// The end of a string whose content begins at `at`.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The end of a character literal; `None` for a lifetime or a label.
fn character_end(bytes: &[u8], quote: usize) -> Option<usize> {
    let content = quote + 1;
    if bytes.get(content) == Some(&b'\\') {
        return Some((find(bytes, content + 2, |rest| rest[0] == b'\'') + 1).min(bytes.len()));
    }
    let continues = |byte: &u8| byte & 0xC0 == 0x80;
    let length = 1 + bytes.get(content + 1..)?.iter().take_while(|byte| continues(byte)).count();
    (bytes.get(content + length) == Some(&b'\'')).then_some(content + length + 1)
}

/// The end of a raw string with any prefix; `None` if what begins at `at` is something else.
fn raw_string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let prefix = if matches!(bytes[at], b'b' | b'c') { at + 1 } else { at };
    if bytes.get(prefix) != Some(&b'r') {
        return None;
    }
    let hashes = bytes[prefix + 1..].iter().take_while(|byte| **byte == b'#').count();
    let quote = prefix + 1 + hashes;
    if bytes.get(quote) != Some(&b'"') {
        return None;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    Some((find(bytes, quote + 1, |rest| rest.starts_with(end.as_bytes())) + end.len()).min(bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blanks, checks that positions stayed, and drops the spaces.
    fn code_of(text: &str) -> String {
        let code = blank_comments_and_literals(text);
        assert_eq!(code.len(), text.len());
        assert_eq!(code.matches('\n').count(), text.matches('\n').count());
        code.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_are_blanked() {
        assert_eq!(code_of("a // { \" \nb"), "a b");
        assert_eq!(code_of("a /* { /* nested */ } */ b"), "a b");
        assert_eq!(code_of("a /* never ends"), "a");
        assert_eq!(code_of("/// doc {\nfn"), "fn");
    }

    #[test]
    fn strings_are_blanked() {
        assert_eq!(code_of(r#"a("{ \" // ", b"}");"#), "a( , b );");
        assert_eq!(code_of(r###"a(r#"{ " } "# , br"\", r"}")"###), "a( , , )");
        assert_eq!(code_of("a(\"{\n}é\")b"), "a( )b");
        assert_eq!(code_of("\"never ends \\"), "");
    }

    #[test]
    fn characters_are_blanked_and_lifetimes_are_not() {
        assert_eq!(code_of(r"m('{', '\'', '\u{7d}', b'}', 'é', '\\')"), "m( , , , b , , )");
        assert_eq!(
            code_of("fn f<'a>(x: &'a str) { 'outer: loop {} }"),
            "fn f<'a>(x: &'a str) { 'outer: loop {} }"
        );
    }

    #[test]
    fn raw_names_are_code() {
        assert_eq!(code_of("r#type { bar r }"), "r#type { bar r }");
    }

    #[test]
    fn words_are_whole() {
        let code = "HashMap my_HashMap HashMaps std::HashMap<u8>";
        assert_eq!(occurrences(code, "HashMap").collect::<Vec<_>>(), [0, 33]);
    }

    #[test]
    fn brackets_are_matched() {
        assert_eq!(closing("f({[]}) x", 1), 7);
        assert_eq!(closing("f({", 1), 3);
    }

    #[test]
    fn names_are_found_behind_space() {
        assert_eq!(name_at("mod  tests ;", 3), Some(5..10));
        assert_eq!(name_at("fn(u8)", 2), None);
    }
}
