//! Selectors against a naive model of their own, and what people get wrong.

use phalanx_base::{Item, ItemError, ItemPart, Labels};
use proptest::prelude::*;

use super::*;

fn selector(text: &str) -> Selector {
    text.parse().expect(text)
}

fn labels(text: &str) -> Labels {
    text.parse().expect(text)
}

fn refusal(text: &str) -> SelectorError {
    text.parse::<Selector>().expect_err(text)
}

#[test]
fn selectors_read_labels_as_people_expect() {
    let worker = labels("core;group=group1;master,gpu,node;zone=a;rack=;empty");
    for (text, is_met) in [
        ("", true),
        ("group=group1 && gpu && zone in (a, b) && !spot", true),
        ("gpu", true),
        ("master", true),
        ("core;master", true),
        ("node;master", false),
        ("core;gpu", false),
        ("core", true),
        ("core;group=group1", true),
        ("node;group=group1", false),
        ("node;group != group1", true),
        ("zone=A", false),
        ("zone != b && disk != ssd", true),
        ("zone not in (b, c) && disk not in (ssd)", true),
        ("zone not in (a)", false),
        ("rack=", true),
        ("rack= && empty=", false),
        ("empty && empty !=", true),
        ("!gpu || zone=a", true),
        ("!(gpu || zone=a)", false),
        ("!!gpu", true),
        ("spot && gpu || zone=a", true),
        ("spot && (gpu || zone=a)", false),
        ("gpu, zone==a, disk notin (ssd)", true),
    ] {
        assert_eq!(selector(text).matches(&worker), is_met, "{text}");
    }
    assert!(!selector("gpu").matches(&Labels::default()));
    assert!(selector("!gpu && zone != a").matches(&Labels::default()));
}

#[test]
fn one_meaning_has_one_text() {
    for (given, printed) in [
        (" \t", ""),
        ("a,b", "a && b"),
        ("(((a)))&&((b&&c))", "a && b && c"),
        ("(a||b)||c", "a || b || c"),
        ("a&&b||c", "a && b || c"),
        ("a&&(b||c)", "a && (b || c)"),
        ("(a||b),!(c,d)", "(a || b) && !(c && d)"),
        ("!(a=b)", "a != b"),
        ("!a in(b,c)", "a not in (b, c)"),
        ("!!(!a != b)", "a=b"),
        ("!(!(a||b)) && c", "(a || b) && c"),
        ("a in (b, b, b)", "a=b"),
        ("a==b", "a=b"),
        ("core ; group = g", "core;group=g"),
        ("a=%63%C3%bc%20%2C%3e", "a=cü%20%2C%3E"),
        ("in in (in, not) && not not in (notin) && notin", "in in (in, not) && not != notin && notin"),
    ] {
        assert_eq!(selector(given).to_string(), printed);
        assert_eq!(selector(printed), selector(given));
    }
}

#[test]
fn refusals_say_where_and_what_to_write() {
    let expected = |expected, found, at| SelectorError::Expected { expected, found, at };
    let instead = |found, instead, at| SelectorError::Instead { found, instead, at };
    for (text, refused) in [
        ("a &&", expected(Expected::Term, None, 4)),
        ("a && && b", expected(Expected::Term, Some('&'), 5)),
        ("()", expected(Expected::Term, Some(')'), 1)),
        ("a b", expected(Expected::Operator, Some('b'), 2)),
        ("a > 5", expected(Expected::Operator, Some('>'), 2)),
        ("a)", expected(Expected::Connective, Some(')'), 1)),
        ("a=b c", expected(Expected::Connective, Some('c'), 4)),
        ("a in b", expected(Expected::List, Some('b'), 5)),
        ("a in ()", expected(Expected::Value, Some(')'), 6)),
        ("a in (b,)", expected(Expected::Value, Some(')'), 8)),
        ("a in (b c)", expected(Expected::ListEnd, Some('c'), 8)),
        ("a not b", expected(Expected::In, Some('b'), 6)),
        ("ä & b", instead("&", "&&", 3)),
        ("a | b", instead("|", "||", 2)),
        ("a and b", instead("and", "&&", 2)),
        ("a=1 or b", instead("or", "||", 4)),
        ("not a", instead("not", "!", 0)),
        ("b && not (a)", instead("not", "!", 5)),
        ("a IN (b)", instead("IN", "in", 2)),
        ("core;group=g;master", instead(";", "&& item;key", 12)),
        ("a>5", SelectorError::Forbidden { found: '>', at: 1 }),
        ("a=\"b\"", SelectorError::Forbidden { found: '"', at: 2 }),
        ("a=%2", SelectorError::Escape { at: 2 }),
        ("a=%ff", SelectorError::NotUtf8 { at: 2 }),
        ("(a || (b)", SelectorError::Unclosed { at: 0 }),
        ("a in (b", SelectorError::Unclosed { at: 5 }),
    ] {
        assert_eq!(refusal(text), refused, "{text}");
    }
    assert_eq!(
        refusal("a;=b"),
        SelectorError::Label { at: 2, reason: ItemError::Empty { part: ItemPart::Key } }
    );
    let reason = ItemError::TooLong { part: ItemPart::Value, length: 257 };
    assert_eq!(refusal(&format!("a={}", "x".repeat(257))), SelectorError::Label { at: 2, reason });
    assert_eq!(refusal("zone=a zone=b").to_string(), "expected `&&`, `||` or the end at byte 7, found 'z'");
    assert_eq!(refusal("a*").to_string(), "'*' at byte 1 is no operator, and in a name it is written %2A");
    assert_eq!(refusal("a or b").to_string(), "\"or\" at byte 2 means nothing here: write \"||\"");
}

#[test]
fn limits_hold() {
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(nested(Selector::DEPTH_MAX).parse::<Selector>().is_ok());
    assert_eq!(refusal(&nested(Selector::DEPTH_MAX + 1)), SelectorError::TooDeep { at: Selector::DEPTH_MAX });
    assert!("!".repeat(4000).parse::<Selector>().is_err());
    assert_eq!(selector(&format!("{}a", "!".repeat(4001))).to_string(), "!a");

    let terms = |count: usize| (0..count).map(|number| format!("t{number:02}")).collect::<Vec<_>>().join(",");
    assert!(terms(Selector::TERMS_MAX).parse::<Selector>().is_ok());
    assert_eq!(refusal(&terms(Selector::TERMS_MAX + 1)), SelectorError::TooManyTerms { at: 64 * 4 });
    assert!(format!("a in ({})", terms(Selector::VALUES_MAX)).parse::<Selector>().is_ok());
    let long = format!("a in ({})", terms(Selector::VALUES_MAX + 1));
    assert_eq!(refusal(&long), SelectorError::TooManyValues { at: 6 + 64 * 4 });

    assert_eq!(refusal(&" ".repeat(4097)), SelectorError::TooLong { length: 4097 });
    // Sixteen terms of 255 bytes fit as given, and not with the spaces that the printer adds.
    let wide = vec![format!("a={}", "v".repeat(253)); 16].join(",");
    assert_eq!(refusal(&wide), SelectorError::TooLong { length: 16 * 255 + 15 * 4 });
}

/// The model: a tree as it is written, evaluated over a flat list of what a worker has.
#[derive(Debug, Clone)]
enum Model {
    Has(Option<&'static str>, &'static str),
    OneOf(Option<&'static str>, &'static str, Vec<&'static str>, bool),
    And(Vec<Model>),
    Or(Vec<Model>),
    Not(Box<Model>),
}

const WORDS: [&str; 6] = ["a", "b", "in", "not", "ü,% ", "(*)"];

fn escaped(word: &str) -> String {
    word.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

impl Model {
    /// Written with more parentheses than are needed.
    fn text(&self) -> String {
        let path = |item: &Option<&str>, key: &str| match item {
            Some(item) => format!("{} ;{}", escaped(item), escaped(key)),
            None => escaped(key),
        };
        let join = |parts: &[Model], sign: &str| {
            parts.iter().map(|part| format!("({})", part.text())).collect::<Vec<_>>().join(sign)
        };
        match self {
            Self::Has(item, key) => path(item, key),
            Self::OneOf(item, key, values, is_negated) => {
                let values: Vec<String> = values.iter().map(|value| escaped(value)).collect();
                let operator = if *is_negated { "not in" } else { "in" };
                format!("{} {operator}({})", path(item, key), values.join(","))
            }
            Self::And(parts) => join(parts, "&&"),
            Self::Or(parts) => join(parts, " ||"),
            Self::Not(part) => format!("! ({})", part.text()),
        }
    }

    fn holds(&self, facts: &[(String, Option<String>, Option<String>)]) -> bool {
        let of = |own: &Option<&str>, item: &str| own.is_none_or(|own| own == item);
        match self {
            Self::Has(item, key) => facts.iter().any(|(name, own_key, _)| {
                own_key.as_deref() == Some(*key) && of(item, name) || item.is_none() && name == key
            }),
            Self::OneOf(item, key, values, is_negated) => {
                let holds = facts.iter().any(|(name, own_key, value)| {
                    let known = value.as_deref().is_some_and(|value| values.contains(&value));
                    of(item, name) && own_key.as_deref() == Some(*key) && known
                });
                holds != *is_negated
            }
            Self::And(parts) => parts.iter().all(|part| part.holds(facts)),
            Self::Or(parts) => parts.iter().any(|part| part.holds(facts)),
            Self::Not(part) => !part.holds(facts),
        }
    }
}

fn word() -> impl Strategy<Value = &'static str> {
    prop::sample::select(WORDS.as_slice())
}

fn model() -> impl Strategy<Value = Model> {
    let path = || (prop::option::weighted(0.3, word()), word());
    let leaf = prop_oneof![
        path().prop_map(|(item, key)| Model::Has(item, key)),
        (path(), prop::collection::vec(word(), 1..4), any::<bool>())
            .prop_map(|((item, key), values, is_negated)| Model::OneOf(item, key, values, is_negated)),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Model::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Model::Or),
            inner.prop_map(|part| Model::Not(Box::new(part))),
        ]
    })
}

fn any_labels() -> impl Strategy<Value = Labels> {
    let keys = prop::collection::btree_map(word(), prop::option::of(word()), 0..4);
    prop::collection::btree_map(word(), keys, 0..4).prop_map(|items| {
        let mut labels = Labels::default();
        for (name, keys) in items {
            let item = keys.into_iter().fold(Item::new(name).unwrap(), |item, (key, value)| match value {
                Some(value) => item.with_value(key, value).unwrap(),
                None => item.with_key(key).unwrap(),
            });
            labels.update(item).unwrap();
        }
        labels
    })
}

fn facts(labels: &Labels) -> Vec<(String, Option<String>, Option<String>)> {
    let mut facts = Vec::new();
    for item in labels.items() {
        facts.push((item.name().to_owned(), None, None));
        for (key, value) in item.keys() {
            facts.push((item.name().to_owned(), Some(key.to_owned()), value.map(str::to_owned)));
        }
    }
    facts
}

proptest! {
    #[test]
    fn any_word_of_labels_can_be_selected(item in "(?s).{1,12}", key in "(?s).{1,12}", value in "(?s).{0,12}") {
        let written = [&item, &key, &value].map(|word| Selector::escape(word));
        let selector = selector(&format!("{};{}={}", written[0], written[1], written[2]));
        let mut labels = Labels::default();
        labels.update(Item::new(item).unwrap().with_value(key, value).unwrap()).unwrap();
        prop_assert!(selector.matches(&labels), "{}", selector);
    }

    #[test]
    fn a_selector_means_what_the_model_means(model in model(), labels in any_labels()) {
        let selector = selector(&model.text());
        prop_assert_eq!(selector.matches(&labels), model.holds(&facts(&labels)));
        let printed = selector.to_string();
        prop_assert_eq!(printed.parse::<Selector>(), Ok(selector.clone()), "{}", printed);
        prop_assert_eq!(selector.to_string(), printed);
        prop_assert_eq!(
            selector.matches(&labels),
            selector.clauses().iter().all(|clause| clause.matches(&labels))
        );
    }

    #[test]
    fn any_text_parses_or_is_refused_in_its_bounds(
        text in prop_oneof!["(?s).{0,60}", "([a-c ]|in|not|!|=|==|&&|\\|\\||\\(|\\)|,|;|%2C|%|é|<){0,24}"]
    ) {
        match text.parse::<Selector>() {
            Ok(selector) => prop_assert_eq!(selector.to_string().parse::<Selector>(), Ok(selector)),
            Err(
                SelectorError::Expected { at, .. } | SelectorError::Instead { at, .. }
                | SelectorError::Forbidden { at, .. } | SelectorError::Escape { at }
                | SelectorError::NotUtf8 { at } | SelectorError::Label { at, .. }
                | SelectorError::Unclosed { at } | SelectorError::TooDeep { at }
                | SelectorError::TooManyTerms { at } | SelectorError::TooManyValues { at }
            ) => prop_assert!(text.is_char_boundary(at), "{} in {:?}", at, text),
            Err(SelectorError::TooLong { .. }) => prop_assert!(false, "these texts are short"),
        }
        if let Ok(path) = text.parse::<LabelPath>() {
            prop_assert_eq!(path.to_string().parse::<LabelPath>(), Ok(path));
        }
    }
}
