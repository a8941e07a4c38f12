//! The layers of the configuration: the flags win over the environment, the environment over the file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::Mistake;
use super::key::{self, Count, KEYS, Key};

/// The largest file: a configuration has a page or two.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File(PathBuf),
    Variable(String),
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "environment: {name}"),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// What a key was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) values: Vec<String>,
    pub(crate) from: Origin,
}

/// Keys with what they were given; of several layers the last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Layers(BTreeMap<&'static str, Given>);

impl Layers {
    /// What is so unless somebody says otherwise.
    pub(crate) fn defaults() -> Self {
        let given = KEYS.iter().filter_map(|key| {
            let values = vec![key.default?.to_owned()];
            Some((key.name, Given { values, from: Origin::Default }))
        });
        Self(given.collect())
    }

    /// Puts a value over what is there.
    pub(crate) fn set(&mut self, key: &Key, values: Vec<String>, from: Origin) {
        if let Some(key) = key::find(key.name) {
            self.0.insert(key.name, Given { values, from });
        }
    }

    pub(crate) fn given(&self, name: &str) -> Option<&Given> {
        self.0.get(name)
    }

    /// Puts a file over what is there.
    pub(crate) fn read_file(&mut self, path: &Path) -> Result<(), Vec<Mistake>> {
        let wrong = |words: String| vec![Mistake { place: path.display().to_string(), words }];
        let length = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
        if length > FILE_BYTES_MAX {
            return Err(wrong(format!("{length} bytes are no configuration: give another file")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        self.read_toml(&text, path)
    }

    fn read_toml(&mut self, text: &str, path: &Path) -> Result<(), Vec<Mistake>> {
        let place = path.display().to_string();
        // The library's own words quote the line, in which a secret may stand by mistake.
        let table: toml::Table = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            vec![Mistake { place: format!("{place}:{line}"), words: error.message().to_owned() }]
        })?;
        let mut mistakes = Vec::new();
        for (name, value) in flat(table) {
            match known(&name).and_then(|key| Ok((key, values(key, value)?))) {
                Ok((key, values)) => self.set(key, values, Origin::File(path.to_owned())),
                Err(words) => mistakes.push(Mistake { place: place.clone(), words }),
            }
        }
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    }

    /// Puts the environment over what is there. The values of a list are separated by spaces.
    pub(crate) fn read_environment(&mut self, variable: impl Fn(&str) -> Option<String>) {
        for key in KEYS {
            let name = key.variable();
            let Some(value) = variable(&name).filter(|value| !value.is_empty()) else { continue };
            let values = match key.count {
                Count::One => vec![value],
                Count::Many => value.split_whitespace().map(str::to_owned).collect(),
            };
            self.set(key, values, Origin::Variable(name));
        }
    }
}

/// The values of a file under their whole names: a table whose name is no key is one of keys.
fn flat(table: toml::Table) -> Vec<(String, toml::Value)> {
    let mut found = Vec::new();
    // As deep as tables lie in one another; the parser bounds that.
    let mut left: Vec<(String, toml::Value)> = table.into_iter().rev().collect();
    while let Some((name, value)) = left.pop() {
        let begins = |key: &Key| key.name.strip_prefix(&name).is_some_and(|rest| rest.starts_with('.'));
        match value {
            toml::Value::Table(inner) if KEYS.iter().any(begins) => {
                let inside = inner.into_iter().rev().map(|(inner, value)| (format!("{name}.{inner}"), value));
                left.extend(inside);
            }
            value => found.push((name, value)),
        }
    }
    found
}

fn known(name: &str) -> Result<&'static Key, String> {
    if let Some(key) = key::find(name) {
        return Ok(key);
    }
    if matches!(name, "secret" | "password" | "worker-credential") {
        return Err(format!(
            "{name:?} has no place in a file that many may read: name a file by \"secret-file\", or set PHALANX_SECRET"
        ));
    }
    let nearest = key::nearest(name, KEYS.iter().map(|key| key.name)).unwrap_or_default();
    Err(format!("there is no key {name:?}: did you mean {nearest:?}?"))
}

/// The values of a key as text, whichever way TOML writes them.
fn values(key: &Key, value: toml::Value) -> Result<Vec<String>, String> {
    match (key.count, value) {
        (Count::Many, toml::Value::Array(values)) => {
            values.into_iter().map(|value| text(key, value)).collect()
        }
        (_, value) => Ok(vec![text(key, value)?]),
    }
}

fn text(key: &Key, value: toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Boolean(is_so) if key.value == "BOOL" => Ok(is_so.to_string()),
        value => {
            let wanted = match key.count {
                Count::One => "a text",
                Count::Many => "a list of texts",
            };
            Err(format!("{:?} is given a {}: give it {wanted}", key.name, value.type_str()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Layers, Vec<Mistake>> {
        let mut layers = Layers::defaults();
        layers.read_toml(text, Path::new("p.toml"))?;
        Ok(layers)
    }

    fn words(text: &str) -> String {
        file(text).unwrap_err().iter().map(Mistake::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn later_layers_win() {
        let mut layers = file("cluster = \"a\"\nweight = 2\nzone = \"z\"\n").unwrap();
        layers.read_environment(|name| match name {
            "PHALANX_CLUSTER" => Some("b".to_owned()),
            "PHALANX_DISCOVER" => Some(" x:1  y:2 ".to_owned()),
            "PHALANX_ZONE" => Some(String::new()),
            _ => None,
        });
        layers.set(key::find("weight").unwrap(), vec!["3".to_owned()], Origin::Flag);
        let value = |name| layers.given(name).map(|given| (given.values.join("|"), given.from.to_string()));
        let told = |value: &str, from: &str| Some((value.to_owned(), from.to_owned()));
        assert_eq!(value("cluster"), told("b", "environment: PHALANX_CLUSTER"));
        assert_eq!(value("discover"), told("x:1|y:2", "environment: PHALANX_DISCOVER"));
        assert_eq!(value("zone"), told("z", "p.toml"));
        assert_eq!(value("weight"), told("3", "flag"));
        assert_eq!(value("preset"), told("lan", "default"));
        assert_eq!(value("listen"), None);
    }

    #[test]
    fn mistakes_are_named_and_never_quote_a_secret() {
        assert_eq!(words("clustr = \"a\""), "p.toml: there is no key \"clustr\": did you mean \"cluster\"?");
        assert!(words("secret = \"hush\"").contains("secret-file"));
        assert!(!words("secret = \"hush\"").contains("hush"));
        let broken = words("cluster = \"a\"\nsecret-file = hush");
        assert!(broken.starts_with("p.toml:2: ") && !broken.contains("hush"), "{broken}");
        assert!(words("zone = [\"a\"]").contains("give it a text"));
        assert!(words("discover = { a = 1 }").contains("a list of texts"));
        assert_eq!(words("a = 1\nb = 2").lines().count(), 2, "all of them at once");
        let inside = words("[drivers.kv]\nkey-max = 2");
        assert!(inside.contains("\"drivers.kv.key-max\": did you mean \"drivers.kv.keys-max\"?"), "{inside}");
        assert!(words("[driver.kv]\nenabled = true").contains("no key \"driver\""));
        assert!(words("[drivers]\nkv = true").contains("no key \"drivers.kv\""));
        assert!(words("drivers = 1").contains("no key \"drivers\""));
        assert!(words("cluster = true").contains("give it a text"));
    }

    #[test]
    fn tables_are_keys_with_dots() {
        let layers = file("cluster = \"m\"\n[drivers.kv]\nenabled = true\nkeys-max = 7\n[drivers.files]\nread = [\"a=/a\"]\n").unwrap();
        let value = |name| layers.given(name).map(|given| given.values.join("|"));
        assert_eq!(value("drivers.kv.enabled").as_deref(), Some("true"));
        assert_eq!(value("drivers.kv.keys-max").as_deref(), Some("7"));
        assert_eq!(value("drivers.files.read").as_deref(), Some("a=/a"));
    }

    #[test]
    fn a_list_of_one_may_be_written_without_brackets() {
        for text in ["discover = \"a:1\"", "discover = [\"a:1\"]"] {
            assert_eq!(file(text).unwrap().given("discover").unwrap().values, ["a:1"]);
        }
    }
}
