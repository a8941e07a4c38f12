//! Which code is compiled for tests only, and is therefore free of most rules.

use std::ops::Range;

use super::lexer::{closing, name_at, occurrences};

/// The words an item can begin with: such a thing ends at its body or a semicolon, whatever commas it holds.
const ITEM_STARTS: &[&str] = &[
    "async", "const", "enum", "extern", "fn", "impl", "let", "mod", "pub", "static", "struct", "trait",
    "type", "unsafe", "use",
];

/// A module that lives in another file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ModuleFile {
    /// Its name.
    pub(super) name: String,
    /// The value of `#[path = …]`.
    pub(super) path: Option<String>,
    /// Whether it is declared for tests only.
    pub(super) for_tests: bool,
}

/// The parts of a file that are compiled for tests only, from blanked code.
pub(super) fn test_regions(code: &str) -> Vec<Range<usize>> {
    let mut regions: Vec<Range<usize>> = Vec::new();
    for (start, _) in code.match_indices("#[") {
        if regions.last().is_some_and(|last| last.contains(&start)) {
            continue;
        }
        let end = closing(code, start + 1);
        if is_for_tests(code[start + 2..end].trim_end_matches(']').trim()) {
            regions.push(start..item_end(code, end));
        }
    }
    if code.contains("#![cfg(test)]") {
        regions = std::iter::once(0..code.len()).collect();
    }
    regions
}

/// The modules that a file declares and that live in other files. `text` and `code` are the same file, as it is and
/// blanked.
pub(super) fn module_files(text: &str, code: &str, tests: &[Range<usize>]) -> Vec<ModuleFile> {
    let declared = occurrences(code, "mod").filter_map(|at| {
        let name = name_at(code, at + "mod".len())?;
        if !code[name.end..].trim_start().starts_with(';') {
            return None;
        }
        let start = code[..at].rfind([';', '{', '}']).map_or(0, |before| before + 1);
        Some(ModuleFile {
            name: code[name].to_owned(),
            path: path_attribute(&text[start..at]),
            for_tests: tests.iter().any(|region| region.contains(&at)),
        })
    });
    declared.collect()
}

fn is_for_tests(attribute: &str) -> bool {
    attribute == "test"
        || attribute.starts_with("cfg(test)")
        || attribute.starts_with("cfg(all(test")
        || attribute.starts_with("tokio::test")
}

fn path_attribute(attributes: &str) -> Option<String> {
    let (_, value) = attributes.split_once("#[path = \"")?;
    value.split_once('"').map(|(path, _)| path.to_owned())
}

/// Where the thing ends whose attributes go on at `from`: an item, or a field, variant, match arm or statement.
fn item_end(code: &str, mut from: usize) -> usize {
    while code[from..].trim_start().starts_with("#[") {
        let open = from + code[from..].find('[').unwrap_or(0);
        from = closing(code, open);
    }
    let is_item = name_at(code, from).is_some_and(|name| ITEM_STARTS.contains(&&code[name]));
    let mut at = from;
    while let Some(byte) = code.as_bytes().get(at) {
        match byte {
            b'(' | b'[' => at = closing(code, at),
            b'{' => return closing(code, at),
            b';' => return at + 1,
            b',' if !is_item => return at + 1,
            b'}' => return at,
            _ => at += 1,
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_tests(code: &str) -> Vec<&str> {
        test_regions(code).into_iter().map(|region| &code[region]).collect()
    }

    #[test]
    fn a_test_module_is_a_region() {
        let code = "fn a() {}\n#[cfg(test)]\nmod tests { fn b() {} }\nfn c() {}";
        assert_eq!(in_tests(code), ["#[cfg(test)]\nmod tests { fn b() {} }"]);
    }

    #[test]
    fn a_test_function_and_its_attributes_are_a_region() {
        let code = "#[test]\n#[ignore]\nfn a<A, B>(x: [u8; 2]) -> B { {} } fn b() {}";
        assert_eq!(in_tests(code), ["#[test]\n#[ignore]\nfn a<A, B>(x: [u8; 2]) -> B { {} }"]);
    }

    #[test]
    fn fields_arms_and_declarations_end_where_they_end() {
        assert_eq!(in_tests("struct S { #[cfg(test)] a: u8, b: u8 }"), ["#[cfg(test)] a: u8,"]);
        assert_eq!(
            in_tests("match x { #[cfg(test)] A => f(1, 2), B => g() }"),
            ["#[cfg(test)] A => f(1, 2),"]
        );
        assert_eq!(in_tests("#[cfg(test)] mod tests; fn a() {}"), ["#[cfg(test)] mod tests;"]);
        assert_eq!(in_tests("struct S { #[cfg(test)] a: u8 } fn f() {}"), ["#[cfg(test)] a: u8 "]);
    }

    #[test]
    fn other_conditions_are_no_tests() {
        assert!(in_tests("#[cfg(feature)] mod a {}").is_empty());
        assert!(in_tests("#[cfg(not(test))] mod a {}").is_empty());
        assert!(in_tests("#[cfg(any(test, x))] mod a {}").is_empty());
    }

    #[test]
    fn a_whole_file_can_be_for_tests() {
        assert_eq!(in_tests("#![cfg(test)]\nfn a() {}"), ["#![cfg(test)]\nfn a() {}"]);
    }

    #[test]
    fn modules_in_other_files_are_found() {
        let text = "mod a;\n#[cfg(test)]\n#[path = \"../x/y.rs\"]\nmod b;\nmod c { mod d; }";
        let code = super::super::lexer::blank_comments_and_literals(text);
        let found = module_files(text, &code, &test_regions(&code));
        let expected = [("a", None, false), ("b", Some("../x/y.rs"), true), ("d", None, false)];
        let expected = expected.map(|(name, path, for_tests)| ModuleFile {
            name: name.to_owned(),
            path: path.map(str::to_owned),
            for_tests,
        });
        assert_eq!(found, expected);
    }
}
